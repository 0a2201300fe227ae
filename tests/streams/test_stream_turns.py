"""A stream among other tasks: deadlines, groups, shields, and the turns that it leaves to others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from tests.streams.event_loops import LOOPS
from tests.streams.one_end import (
    OPERATIONS,
    drain,
    fill,
    with_one_end,
)

from afunix.model.errors import BusyError
from afunix.model.stream_state import State
from afunix.streams.stream import Stream
from afunix.streams.waiting import TURN_EVERY


@pytest.mark.parametrize("kind", LOOPS)
def test_every_receive_can_be_bounded_and_loses_nothing(kind: str) -> None:
    @with_one_end(kind, accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"abc")
        for name in ("receive_exactly", "receive_until", "lines"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await OPERATIONS[name](stream)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.receive_exactly(4), 0.001)
        assert await stream.receive() == b"abc"


@pytest.mark.parametrize("turns", range(TURN_EVERY - 2, TURN_EVERY + 2))
def test_a_send_with_descriptors_that_has_begun_is_cut_by_a_cancellation(turns: int) -> None:
    @with_one_end(accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        stream._turns = turns
        task = asyncio.create_task(stream.send_fds(bytes(1_000_000), [0]))
        while not stream.stats.bytes_sent:
            await asyncio.sleep(0)
        drain(far)  # there is room again for whoever comes in between
        with pytest.raises(BusyError):
            await stream.send(b"in between")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stream.state is State.BROKEN


def test_a_shielded_receive_goes_on_when_its_caller_is_cancelled() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        inner = asyncio.create_task(stream.receive())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.shield(inner)
        far.send(b"late")
        assert await inner == b"late"


def test_a_group_that_fails_cancels_who_receives_and_who_sends() -> None:
    async def fail() -> None:
        raise ValueError("neighbour")

    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        fill(stream)
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(stream.receive())
                group.create_task(stream.send(b"x"))
                group.create_task(stream.wait_hangup())
                group.create_task(fail())
        assert not stream._is_used()
        drain(far)
        await stream.send(b"goes on")


READY: dict[str, Callable[[Stream], Awaitable[object]]] = {
    "receive": lambda stream: stream.receive(1),
    "receive_into": lambda stream: stream.receive_into(bytearray(1)),
    "receive_exactly": lambda stream: stream.receive_exactly(1),
    "receive_until": lambda stream: stream.receive_until(b"\n"),
    "lines": lambda stream: anext(stream.lines()),
    "receive_file": lambda stream: into_nothing(stream),
    "receive_fds": lambda stream: stream.receive_fds(1),
    "send": lambda stream: stream.send(b"x"),
    "send_bytearray": lambda stream: stream.send(bytearray(b"x")),
    "send_many": lambda stream: stream.send_many([b"x"]),
    "send_fds": lambda stream: stream.send_fds(b"x", ()),
    "send_file": lambda stream: one_byte_of_a_file(stream),
}
"""Each operation so that it never has to wait."""


async def into_nothing(stream: Stream) -> None:
    with open("/dev/null", "wb", buffering=0) as file:
        await stream.receive_file(file, 1)


async def one_byte_of_a_file(stream: Stream) -> None:
    with open(__file__, "rb") as file:
        await stream.send_file(file, count=1)


@pytest.mark.parametrize("name", READY)
def test_a_task_that_never_has_to_wait_lets_others_run(name: str) -> None:
    @with_one_end(accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        if name.startswith("send"):
            stream._channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        else:
            stream.unread(b"\n" * 20 * TURN_EVERY)
        other = asyncio.create_task(beat())
        for _ in range(10 * TURN_EVERY):
            await READY[name](stream)
        other.cancel()
        assert beats >= 9


def test_one_operation_that_is_long_lets_others_run_too() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(beat())
        stream.unread(bytes(30_000_000))
        await stream.receive_exactly(30_000_000)
        other.cancel()
        assert beats >= 5
