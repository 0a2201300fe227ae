"""Writing without waiting to whatever STDOUT may be, with its flags as they were."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import socket
import termios
from collections.abc import Iterator

import pytest

from afunix.kernel import fallbacks
from afunix.kernel.descriptor_kind import DescriptorKind
from afunix.kernel.output import Output


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            pass  # the test closed it


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Set AFUNIX_FORCE_FALLBACK with `setenv`; it is read afresh."""
    fallbacks._forced.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    fallbacks._forced.cache_clear()


WAYS = ["", "reopen", "reopen,nowait"]  # an open file of our own, pwritev2, a thread


def fill(output: Output) -> int:
    """Write until there is no room any more; a thread says "not now" also while it is only busy."""
    assert output.wait_fd is not None
    total = 0
    while select.select([], [output.wait_fd], [], 0.1)[1]:
        total += output.try_write([b"x" * 65536])
    return total


def drain(fd: int, count: int) -> bytes:
    pieces = []
    while count:
        pieces.append(os.read(fd, min(count, 65536)))
        count -= len(pieces[-1])
    return b"".join(pieces)


@pytest.mark.parametrize("way", WAYS)
def test_full_pipe_takes_nothing_and_later_the_rest(
    pipe: tuple[int, int], forced: pytest.MonkeyPatch, way: str
) -> None:
    forced.setenv(fallbacks.VARIABLE, way)
    reader, writer = pipe
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    output = Output(writer)
    filled = fill(output)
    assert filled > 0
    assert fcntl.fcntl(writer, fcntl.F_GETFL) == flags
    assert output.wait_fd is not None
    assert not select.select([], [output.wait_fd], [], 0)[1]
    drain(reader, filled)
    assert select.select([], [output.wait_fd], [], 10)[1]
    assert output.try_write([b"a", memoryview(b"bc")]) == 3
    assert drain(reader, 3) == b"abc"
    output.close()


@pytest.mark.parametrize("way", WAYS)
def test_reader_that_left_is_an_error(pipe: tuple[int, int], forced: pytest.MonkeyPatch, way: str) -> None:
    forced.setenv(fallbacks.VARIABLE, way)
    reader, writer = pipe
    output = Output(writer)
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        while True:  # a thread reports with the next write
            output.try_write([b"x"])
    output.close()


def test_thread_is_flushed_only_when_all_has_been_written(
    pipe: tuple[int, int], forced: pytest.MonkeyPatch
) -> None:
    forced.setenv(fallbacks.VARIABLE, "reopen,nowait")
    reader, writer = pipe
    output = Output(writer)
    size = 200_000  # more than the pipe holds
    assert output.try_write([b"x" * size]) == size
    assert not output.is_flushed()
    assert output.stranded() > 0
    drain(reader, size)
    assert output.wait_fd is not None
    assert select.select([], [output.wait_fd], [], 10)[1]
    assert output.is_flushed()
    assert output.stranded() == 0
    output.close()


def test_terminal_is_written_to_through_an_open_file_of_our_own() -> None:
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    output = Output(slave)
    assert output.kind is DescriptorKind.TERMINAL
    assert not output.can_splice
    assert output.try_write([b"shown\n"]) == 6
    assert os.read(master, 100) == b"shown\n"
    assert os.get_blocking(slave)
    output.close()
    os.close(master)
    os.close(slave)


def test_socket_is_written_to_without_waiting() -> None:
    near, far = socket.socketpair()
    with near, far:
        output = Output(near.fileno())
        assert output.kind is DescriptorKind.SOCKET
        assert fill(output) > 0
        assert near.getblocking()
        far.recv(1 << 20)
        assert output.try_write([b"x"]) == 1
        output.close()


def test_full_device_is_an_error() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        output = Output(full.fileno())
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            output.try_write([b"x"])
        output.close()


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_WRONLY | os.O_APPEND])
def test_socket_is_spliced_into_a_file_if_that_can_be(sock_dir: str, flags: int) -> None:
    near, far = socket.socketpair()
    fd = os.open(f"{sock_dir}/f", flags | os.O_CREAT)
    with near, far:
        output = Output(fd)
        assert output.can_splice is not bool(flags & os.O_APPEND)
        if output.can_splice:
            far.sendall(b"abc" * 1000)
            assert output.try_splice(near.fileno(), 1 << 20) == 3000
            assert output.try_splice(near.fileno(), 1 << 20) is None
            assert output.stranded() == 0
            with open(f"{sock_dir}/f", "rb") as written:
                assert written.read() == b"abc" * 1000
        output.close()
    os.close(fd)


def test_splice_tells_the_end_a_full_pipe_and_an_empty_socket(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    near, far = socket.socketpair()
    with near, far:
        output = Output(writer)
        assert output.try_splice(near.fileno(), 100) is None
        far.sendall(b"abc")
        assert output.try_splice(near.fileno(), 100) == 3
        filled = fill(output)
        far.sendall(b"more")
        assert output.try_splice(near.fileno(), 100) is None
        drain(reader, 3 + filled)
        assert output.try_splice(near.fileno(), 100) == 4
        far.close()
        assert output.try_splice(near.fileno(), 100) == 0
        output.close()


def test_bytes_that_a_full_file_system_refused_are_counted() -> None:
    """/dev/full takes no splice either: what had left the socket by then is written, and that fails."""
    near, far = socket.socketpair()
    with near, far, open("/dev/full", "wb", buffering=0) as full:
        output = Output(full.fileno())
        far.sendall(b"x" * 500)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            output.try_splice(near.fileno(), 1000)
        assert output.stranded() == 500
        assert not output.can_splice
        output.close()


def test_pipe_is_grown_once_and_only_upwards(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    output = Output(writer)
    grown = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
    assert grown >= 65536
    Output(writer).close()
    assert fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ) == grown
    output.close()
