"""What every kind of socket has in an event loop: steps that are gone through, a timeout for progress, and the ends."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import threading
from collections.abc import Iterator
from typing import TypeVar

import pytest
from tests.loops import HandTurned

from afunix.kernel.channel import Channel
from afunix.kernel.steps import Need, NoProgressError, Steps
from afunix.model import events
from afunix.model.errors import ClosedError, TimedOutError, WrongLoopError
from afunix.model.stream_state import State
from afunix.streams.connection import Connection
from afunix.streams.hub import _HUBS
from afunix.streams.stream import Stream
from afunix.streams.waiting import caller
from afunix.testing import Faults

T = TypeVar("T")


def three_needs() -> Steps[str]:
    yield Need.TURN
    yield Need.READABLE
    yield Need.WRITABLE
    return "done"


def test_steps_are_gone_through_as_what_they_need_comes(
    loop: HandTurned, connection: Connection, far: socket.socket
) -> None:
    task = loop.create_task(connection._run(three_needs()))
    loop.turn(4)
    assert connection._is_waited_for
    far.send(b"x")
    loop.turn(4)
    assert task.result() == "done"
    assert not connection._is_waited_for


def test_what_interrupts_a_wait_is_thrown_into_the_steps(loop: HandTurned, connection: Connection) -> None:
    thrown: list[type[BaseException]] = []

    def steps() -> Steps[None]:
        try:
            yield Need.READABLE
        except BaseException as error:
            thrown.append(type(error))
            raise

    task = loop.create_task(connection._run(steps()))
    loop.turn(2)
    task.cancel()
    loop.turn(2)
    assert task.cancelled()
    assert thrown == [asyncio.CancelledError]


def test_steps_of_another_loop_are_not_begun(connection: Connection) -> None:
    begun: list[bool] = []

    def steps() -> Steps[None]:
        begun.append(True)
        yield Need.TURN

    with pytest.raises(WrongLoopError, match="belongs to another event loop"):
        asyncio.run(connection._run(steps()))
    assert not begun


def test_send_timeout_counts_from_the_last_progress(loop: HandTurned, connection: Connection) -> None:
    connection.send_timeout = 1.0
    while connection._channel.try_send(bytes(65536)):
        pass
    found: list[type[BaseException]] = []

    def steps() -> Steps[None]:
        try:
            yield Need.WRITABLE
        except NoProgressError:
            found.append(NoProgressError)

    task = loop.create_task(connection._run(steps()))
    loop.turn(2)
    loop.advance(0.9)
    assert not found
    loop.advance(0.2)
    assert task.done()
    assert found == [NoProgressError]


@pytest.fixture
def refused(loop: HandTurned) -> Iterator[tuple[Stream, Faults]]:
    """A stream that may send as soon as it waits for room, while every send answers EAGAIN."""
    near, far = socket.socketpair()
    faults = Faults()
    faults.sending.fail(errno.EAGAIN, None)
    stream = Stream(Channel(faults.apply_to(near)), loop=loop, send_timeout=1.0)
    with far:
        yield stream, faults
    stream.close()


def test_a_socket_that_is_ready_while_nothing_goes_makes_no_progress(
    loop: HandTurned, refused: tuple[Stream, Faults]
) -> None:
    task = loop.create_task(refused[0].send(b"x"))
    loop.turn(5)
    loop.advance(0.9)
    assert not task.done()
    loop.advance(0.2)
    error = task.exception()
    assert isinstance(error, TimedOutError)
    assert error.bytes_sent == 0


def test_each_byte_that_goes_is_progress(loop: HandTurned, refused: tuple[Stream, Faults]) -> None:
    stream, faults = refused
    faults.sending.limit(1)
    task = loop.create_task(stream.send(b"abc"))
    for sent in range(3):
        loop.turn(5)
        loop.advance(0.9)
        assert (stream.stats.bytes_sent, task.done()) == (sent, False)
        faults.clear()
        faults.sending.limit(1)
        faults.sending.fail(errno.EAGAIN, None, after=1)
    loop.turn(5)
    assert task.done()


def test_a_new_send_has_all_of_its_time(loop: HandTurned, refused: tuple[Stream, Faults]) -> None:
    stream, _ = refused
    for _ in range(3):
        task = loop.create_task(stream.send(b"x"))
        loop.turn(5)
        loop.advance(0.9)
        assert not task.done()
        task.cancel()
        loop.turn(5)
        assert task.cancelled()


def test_who_never_waits_gets_out_of_the_way_now_and_then(loop: HandTurned, connection: Connection) -> None:
    async def never_wait(times: int) -> None:
        for _ in range(times):
            await connection._take_turns()

    task = loop.create_task(never_wait(64))
    loop.turn(1)
    assert task.done()
    task = loop.create_task(never_wait(1))
    loop.turn(1)
    assert not task.done()
    loop.turn(1)
    assert task.done()


def test_closed_it_tells_once_and_leaves_the_hub(
    loop: HandTurned, connection: Connection, told: list[events.Event]
) -> None:
    fd = connection.fileno()
    task = loop.create_task(connection.wait_hangup())
    loop.turn(2)
    assert loop in _HUBS
    connection.close()
    connection.close()
    loop.turn(2)
    assert isinstance(task.exception(), ClosedError)
    assert told == [events.Closed(fd, 0, 0, 0)]
    assert loop not in _HUBS


def test_from_another_thread_it_is_not_closed(connection: Connection) -> None:
    async def main() -> None:
        errors: list[BaseException] = []

        def close() -> None:
            try:
                mine.close()
            except WrongLoopError as error:
                errors.append(error)

        near, far = socket.socketpair()
        with far:
            async with Connection(Channel(near), loop=asyncio.get_running_loop()) as mine:
                thread = threading.Thread(target=close)
                thread.start()
                thread.join()
                assert len(errors) == 1
                assert mine.state is State.OPEN

    asyncio.run(main())


def test_forgotten_it_warns_and_is_closed(loop: HandTurned, far: socket.socket) -> None:
    near, other = socket.socketpair()
    with other:
        connection = Connection(Channel(near), loop=loop, opened_at="here.py:3")
        with pytest.warns(
            ResourceWarning, match=r"unclosed <afunix.Connection fd=\d+ OPEN>, opened at here.py:3"
        ):
            del connection
            gc.collect()
        assert other.recv(1) == b""


def test_the_caller_is_who_entered_the_library() -> None:
    found = caller()
    assert found is not None
    assert found.startswith(f"{__file__}:")
