"""A Stream in a loop, and the bare socket at its other end: what tests of the stream have in common."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from tests.streams.event_loops import run_in

from afunix.kernel.channel import Channel
from afunix.kernel.discarding_channel import DiscardingChannel
from afunix.streams.hub import _HUBS
from afunix.streams.stream import Stream

Test = Callable[[Stream, socket.socket], Coroutine[Any, Any, None]]


def open_stream(sock: socket.socket, **options: Any) -> Stream:
    channel = DiscardingChannel(sock) if options.get("accept_fds") else Channel(sock)
    return Stream(channel, loop=asyncio.get_running_loop(), **options)


@asynccontextmanager
async def one_end(**options: Any) -> AsyncIterator[tuple[Stream, socket.socket]]:
    """A Stream, and the bare socket at its other end, which does not block."""
    near, far = socket.socketpair()
    far.setblocking(False)
    with far:
        async with open_stream(near, **options) as stream:
            yield stream, far
    assert not _HUBS


@asynccontextmanager
async def both_ends(**options: Any) -> AsyncIterator[tuple[Stream, Stream]]:
    one, other = socket.socketpair()
    async with open_stream(one, **options) as near, open_stream(other, **options) as far:
        yield near, far


def with_one_end(kind: str = "asyncio", **options: Any) -> Callable[[Test], None]:
    """Runs the decorated function in a loop with a stream and the socket at its other end."""

    def decorate(test: Test) -> None:
        async def main() -> None:
            async with one_end(**options) as (stream, far):
                await test(stream, far)

        run_in(kind, main())

    return decorate


def small(sock: socket.socket | Stream) -> None:
    bare = sock if isinstance(sock, socket.socket) else sock._channel.socket
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def drain(far: socket.socket) -> bytes:
    got = bytearray()
    try:
        while data := far.recv(1 << 20):
            got += data
    except BlockingIOError:
        pass
    return bytes(got)


async def drained(far: socket.socket, task: asyncio.Future[Any]) -> bytes:
    got = bytearray()
    while not task.done():
        got += drain(far)
        await asyncio.sleep(0)
    return bytes(got + drain(far))


def fill(stream: Stream) -> int:
    """Leave no room at all; how many bytes went."""
    small(stream)
    count = 0
    while sent := stream._channel.try_send(bytes(1000)):
        count += sent
    return count


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


OPERATIONS: dict[str, Callable[[Stream], Awaitable[object]]] = {
    "receive": lambda stream: stream.receive(),
    "chunks": lambda stream: anext(aiter(stream)),
    "receive_into": lambda stream: stream.receive_into(bytearray(5)),
    "receive_exactly": lambda stream: stream.receive_exactly(5),
    "receive_until": lambda stream: stream.receive_until(b"\n"),
    "lines": lambda stream: anext(stream.lines()),
    "receive_file": lambda stream: stream.receive_file(1, 5),
    "receive_fds": lambda stream: stream.receive_fds(),
    "send": lambda stream: stream.send(bytes(100_000)),
    "send_bytearray": lambda stream: stream.send(bytearray(100_000)),
    "send_many": lambda stream: stream.send_many([bytes(100_000)]),
    "send_fds": lambda stream: stream.send_fds(bytes(100_000), [0]),
    "send_file": lambda stream: send_some_file(stream),
    "wait_hangup": lambda stream: stream.wait_hangup(),
}
RECEIVES = [name for name in OPERATIONS if "send" not in name and name != "wait_hangup"]
SENDS = [name for name in OPERATIONS if name.startswith("send")]


async def send_some_file(stream: Stream) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(100_000))
        await stream.send_file(file)
