"""The bridges of one login together: how they stop, and what is counted of those that are over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from tests.program import PATIENCE_S

from afunix.endpoints.ssh_bridge import Bridge
from afunix.endpoints.ssh_bridges import Bridges


class FarChannel:
    """What a bridge asks of an ssh channel; the far end reads nothing, and says what the test says."""

    _send_window = 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None: ...


@contextmanager
def bridged(bridges: Bridges) -> Iterator[tuple[Bridge, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours:
        ours.settimeout(PATIENCE_S)
        bridge = bridges.make(theirs)
        bridge.connection_made(cast(Any, FarChannel()))
        bridge.session_started()
        yield bridge, ours


def with_bridges(settle: Callable[[], Awaitable[None]], do: Callable[[Bridges], Awaitable[None]]) -> None:
    async def run() -> None:
        bridges = Bridges(asyncio.get_running_loop(), settle)
        try:
            await asyncio.wait_for(do(bridges), PATIENCE_S)
        finally:
            bridges.close()

    asyncio.run(run())


def test_what_comes_while_a_stop_is_settled_is_handed_on_and_then_the_end() -> None:
    asked: list[Bridge] = []

    async def settle() -> None:
        if asked:
            asked.pop().data_received(b"late")
        await asyncio.sleep(0)

    async def stop(bridges: Bridges) -> None:
        with bridged(bridges) as (bridge, ours):
            asked.append(bridge)
            bridges.stop(bridge)
            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(None, read_to_end, ours) == b"late"
            bridge.data_received(b"too late")
            assert bridges.bytes_lost == len(b"too late")

    with_bridges(settle, stop)


def read_to_end(sock: socket.socket) -> bytes:
    with sock.makefile("rb") as file:
        return file.read()


def test_nothing_is_waited_for_where_no_bridge_has_a_channel() -> None:
    async def settle() -> None: ...

    async def wait(bridges: Bridges) -> None:
        ours, theirs = socket.socketpair()
        with ours:
            bridges.make(theirs)
            await bridges.wait_closed()

    with_bridges(settle, wait)
