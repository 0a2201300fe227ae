"""`afunix relay - CONNECT`: STDIN and STDOUT as one side of a relay, which is what `connect` does, to any far end.

A Unix socket is connected to by `connect` itself. What an endpoint on an event loop connects to gets that loop in a
thread of its own, for as long as the conversation lasts; the conversation is `connect`'s in both cases.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from ..endpoints.base import Endpoint
from ..kernel.channel import Channel
from ..kernel.interrupts import Interrupts
from ..kernel.traced_channel import TracedChannel
from ..model.counting import counted
from ..model.errors import BrokenStreamError
from ..model.escaping import quote
from ..model.events import Observer
from . import connect
from .relay_ends import Dial, make_endpoint


def run(
    settings: connect.ConnectSettings,
    *,
    observer: Observer | None = None,
    alerts: Observer | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> connect.ConnectResult:
    """As `connect.run`, to a Unix socket or to what a relay can reach beyond this machine; main thread only. `alerts` is
    told, in a thread of its own, of what a person should know of the way there.

    Raises:
        AfunixError: as `connect.run`, and as the endpoint.
    """
    if settings.address.is_unix:
        return connect.run(settings, observer=observer, note=note)
    endpoints: list[Endpoint] = []
    with _loop_in_a_thread() as loop, ExitStack() as opened:

        def open_endpoint(dial: Dial) -> Endpoint:
            endpoint = make_endpoint(settings.address, replace(dial, alerts=alerts))
            opened.callback(endpoint.close)
            endpoints.append(endpoint)
            return endpoint

        result = connect.run(
            settings,
            observer=observer,
            note=note,
            dial=partial(_dial, loop, open_endpoint, settings, observer),
        )
    bytes_lost = sum(endpoint.bytes_lost for endpoint in endpoints)
    if bytes_lost and not result.signal:
        raise BrokenStreamError(
            f"{quote(str(settings.address))} has not taken all that was sent: {counted(bytes_lost, 'byte')} may be lost",
            errno=errno.ECONNABORTED,
            bytes_sent=max(0, result.bytes_sent - bytes_lost),
        )
    return result


def _dial(
    loop: asyncio.AbstractEventLoop,
    open_endpoint: Callable[[Dial], Endpoint],
    settings: connect.ConnectSettings,
    observer: Observer | None,
    timeout: float | None,
    interrupts: Interrupts,
) -> Channel:
    dial = Dial(
        wait=settings.wait,
        timeout=timeout,
        make_channel=Channel if observer is None else partial(TracedChannel, observer=observer),
        observer=observer,
    )
    endpoint = open_endpoint(dial)
    done_fd = os.eventfd(0, os.EFD_CLOEXEC)
    future = asyncio.run_coroutine_threadsafe(_connect(endpoint), loop)
    try:
        future.add_done_callback(lambda future: os.eventfd_write(done_fd, 1))
        poll = select.poll()
        for fd in (done_fd, interrupts.fd):
            poll.register(fd, select.POLLIN)
        poll.poll()
        if not future.done():
            future.cancel()
            select.select([done_fd], [], [])
            interrupts.check()
        return future.result()
    finally:
        os.close(done_fd)


async def _connect(endpoint: Endpoint) -> Channel:
    """For nobody in particular: the endpoint's client is one end of a pair that nothing goes through."""
    one, other = socket.socketpair()
    with one, other:
        return await endpoint.connect(Channel(one, 1))


@contextmanager
def _loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="far end", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
