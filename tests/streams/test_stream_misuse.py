"""What a stream says to wrong arguments, another loop, thread or process, and when it is forgotten."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import pickle
import resource
import socket
import tempfile
import time
import warnings
from typing import Any

import pytest
from tests.streams.event_loops import run_in, turns
from tests.streams.one_end import (
    OPERATIONS,
    drain,
    open_stream,
    with_one_end,
)

from afunix.kernel.channel import Channel
from afunix.model.errors import (
    BusyError,
    ClosedError,
    WrongLoopError,
)
from afunix.model.stream_state import State
from afunix.streams.hub import _HUBS
from afunix.streams.stream import Stream


@pytest.mark.parametrize("size", [0, -1, 1.5, "10", None, True])
def test_a_size_that_cannot_be_is_refused(size: Any) -> None:
    @with_one_end(accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        for use in (
            stream.receive(size),
            stream.receive_until(b"\n", size),
            stream.receive_fds(size),
            *((stream.receive_exactly(size),) if size != 0 else ()),
        ):
            with pytest.raises((TypeError, ValueError), match="expected"):
                await use
        with pytest.raises((TypeError, ValueError), match="expected"):
            stream.lines(size)
        far.send(b"unharmed")
        assert await stream.receive() == b"unharmed"


@pytest.mark.parametrize("data", ["text", 5, None, memoryview(b"abcdef")[::2], [b"x"]])
def test_what_has_no_bytes_is_refused(data: Any) -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        for use in (stream.send(data), stream.send_many([b"x", data]), stream.receive_into(data)):
            with pytest.raises(TypeError, match="expected"):
                await use
        with pytest.raises(TypeError, match="expected bytes"):
            stream.unread(data)
        await stream.send(b"unharmed")
        assert drain(far) == b"unharmed"


@pytest.mark.parametrize("warmed", [False, True])
@pytest.mark.parametrize(
    "name", [*OPERATIONS, "send_eof", "close", "abort", "end_receiving", "unread", "detach"]
)
def test_another_threads_loop_is_refused(name: str, warmed: bool) -> None:
    @with_one_end(accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        if warmed:
            task = asyncio.create_task(stream.receive())
            await turns()
            far.send(b"x")
            await task

        async def use() -> None:
            if name in OPERATIONS:
                await OPERATIONS[name](stream)
            elif name == "send_eof":
                await stream.send_eof()
            elif name == "unread":
                stream.unread(b"x")
            else:
                getattr(stream, name)()

        with pytest.raises(WrongLoopError):
            await asyncio.to_thread(lambda: asyncio.run(use()))
        assert stream.state is State.OPEN
        far.send(b"unharmed")
        assert await stream.receive() == b"unharmed"
        await stream.send(b"unharmed")
        assert drain(far) == b"unharmed"


@pytest.mark.parametrize("warmed", [False, True])
def test_a_forked_child_can_close_its_copy_and_harms_nobody(warmed: bool) -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        waiting = asyncio.create_task(stream.receive()) if warmed else None
        await turns()
        with warnings.catch_warnings(action="ignore"):  # other tests' threads
            pid = os.fork()
        if pid == 0:
            os._exit(use_in_child(stream))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        waiting = waiting or asyncio.create_task(stream.receive())
        far.send(b"unharmed")
        assert await waiting == b"unharmed"


def use_in_child(stream: Stream) -> int:
    async def use() -> None:
        with pytest.raises(WrongLoopError):
            await stream.send(b"x")
        with pytest.raises((WrongLoopError, BusyError)):
            await stream.receive()

    try:
        asyncio.run(use())
        stream.close()
        assert stream.is_closed
    except BaseException:
        return 1
    return 0


def test_a_stream_outlives_its_loop_and_can_be_closed_then() -> None:
    near, far = socket.socketpair()
    kept: list[Stream] = []

    async def main() -> None:
        stream = open_stream(near)
        kept.append(stream)
        task = asyncio.create_task(stream.receive())
        await turns()
        task.cancel()
        await turns()

    run_in("asyncio", main())
    with far:
        kept[0].close()
        assert far.recv(1) == b""
    assert not _HUBS


def test_a_loop_that_is_closed_under_a_waiting_task_leaves_no_descriptor() -> None:
    near, far = socket.socketpair()
    loop = asyncio.SelectorEventLoop()
    stream = Stream(Channel(near), loop=loop)
    task = loop.create_task(stream.receive())
    loop.run_until_complete(turns())
    loop.set_exception_handler(lambda *_: None)  # the task was pending: its maker's fault
    loop.close()
    with far:
        stream.close()
        assert far.recv(1) == b""
    assert not _HUBS
    del task


def test_a_stream_that_is_forgotten_warns_with_its_place_and_is_closed() -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        stream = open_stream(near, opened_at="there.py:7")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await stream.receive()
        await turns()  # the task lets go of the exception, which knows the stream
        with pytest.warns(
            ResourceWarning, match=r"unclosed <afunix.Stream fd=\d+ OPEN>, opened at there.py:7"
        ):
            del stream
            gc.collect()
        assert not _HUBS
        with far:
            assert far.recv(1) == b""

    run_in("asyncio", main())


def test_a_socket_that_is_refused_stays_its_owners() -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as alone:
            with pytest.raises(OSError, match="not connected"):
                open_stream(alone)
            gc.collect()
            assert alone.fileno() >= 0

    run_in("asyncio", main())


def test_a_stream_is_no_value_to_pickle() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        with pytest.raises(TypeError):
            pickle.dumps(stream)


@pytest.mark.parametrize("timeout", [5.0, 0.0])
def test_a_sockets_own_timeout_does_not_hold_the_loop_up(timeout: float) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        near.settimeout(timeout)
        started = time.monotonic()
        with far:
            async with open_stream(near) as stream:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await stream.receive()
        assert time.monotonic() - started < 3

    run_in("asyncio", main())


def test_without_descriptors_to_wait_with_the_stream_goes_on_later() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (stream.fileno() + 1, limits[1]))
        try:
            with pytest.raises(OSError, match=r"no descriptor is left to wait with \(EMFILE\)"):
                while True:
                    await stream.receive()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        far.send(b"later")
        assert await stream.receive() == b"later"


def test_lines_that_were_read_ahead_are_for_the_loop_of_the_stream() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"one\ntwo\nthree\n")
        lines = stream.lines()
        assert await anext(lines) == b"one\n"

        async def use() -> None:
            with pytest.raises(WrongLoopError):
                await anext(lines)

        await asyncio.to_thread(lambda: asyncio.run(use()))
        assert await anext(lines) == b"two\n"


def test_a_socket_that_somebody_closed_beneath_can_still_be_closed() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        task = asyncio.create_task(stream.receive())
        await turns()
        stream._channel.socket.close()
        stream.close()
        with pytest.raises(ClosedError):
            await task
        assert stream.state is State.CLOSED


@pytest.mark.parametrize("separator", ["\n", 10, None])
def test_a_separator_that_is_no_bytes_is_refused(separator: Any) -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        with pytest.raises(TypeError, match=f"separator is {type(separator).__name__}, expected bytes"):
            await stream.receive_until(separator)


def test_a_count_that_is_no_number_is_refused() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        with tempfile.TemporaryFile() as file:
            with pytest.raises(TypeError, match="offset is str, expected int"):
                await stream.send_file(file, offset="a")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="count is -1, expected 0 or more"):
                await stream.send_file(file, count=-1)
            with pytest.raises(TypeError, match="count is str, expected int"):
                await stream.receive_file(file, "x")  # type: ignore[arg-type]
        assert stream.state is State.OPEN


@pytest.mark.parametrize("zero_copy", [False, True])
def test_a_pipe_is_no_file_to_send_and_is_named(zero_copy: bool) -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        reading, writing = os.pipe()
        try:
            with pytest.raises(
                OSError, match=rf"descriptor {reading} is a pipe \(ESPIPE\), expected a regular"
            ):
                await stream.send_file(reading, zero_copy=zero_copy)
        finally:
            os.close(reading)
            os.close(writing)
        assert stream.state is State.OPEN


def test_a_descriptor_that_is_not_open_is_named() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        with pytest.raises(OSError, match=r"descriptor 99999 is not open \(EBADF\)") as told:
            await stream.send_fds(b"x", [0, 99999])
        assert told.value.errno == errno.EBADF
        await stream.send(b"unharmed")
        assert far.recv(100) == b"unharmed"


def test_no_room_is_made_for_more_than_can_come() -> None:
    @with_one_end(accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"one")
        assert await stream.receive(2**62) == b"one"
        far.send(b"two")
        assert (await stream.receive_fds(2**62)).data == b"two"
