"""Reading without waiting from whatever STDIN may be, with its flags as they were."""

from __future__ import annotations

import os
import pty
import select
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel import fallbacks
from afunix.kernel.input import Input


@pytest.fixture(params=["", "reopen"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With an open file of our own, and as where that is refused."""
    monkeypatch.setenv(fallbacks.VARIABLE, request.param)
    fallbacks._forced.cache_clear()
    yield
    monkeypatch.undo()
    fallbacks._forced.cache_clear()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    try:
        os.close(writer)
    except OSError:
        pass  # the test closed it


@pytest.mark.usefixtures("way")
def test_pipe_gives_what_is_there_then_nothing_then_its_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    source = Input(reader)
    assert source.try_receive(10) is None
    assert source.wait_fd is not None
    assert not select.select([source.wait_fd], [], [], 0)[0]
    os.write(writer, b"abc")
    assert source.queued() == 3
    assert select.select([source.wait_fd], [], [], 0)[0]
    assert (source.try_receive(2), source.try_receive(10)) == (b"ab", b"c")
    assert not source.ended
    os.close(writer)
    assert source.try_receive(10) == b""
    assert source.is_exhausted
    assert os.get_blocking(reader)
    assert source.bytes_received == 3
    source.close()


@pytest.mark.usefixtures("way")
def test_terminal_gives_a_line_and_its_end() -> None:
    master, slave = pty.openpty()
    source = Input(slave)
    assert source.try_receive(100) is None
    os.write(master, b"typed\n")
    assert source.try_receive(100) == b"typed\n"
    os.write(master, b"\x04")
    assert source.try_receive(100) == b""
    assert os.get_blocking(slave)
    source.close()
    os.close(master)
    os.close(slave)


def test_socket_is_read_without_waiting() -> None:
    near, far = socket.socketpair()
    with near, far:
        source = Input(near.fileno())
        assert source.try_receive(10) is None
        far.send(b"abc")
        assert (source.queued(), source.try_receive(10)) == (3, b"abc")
        assert near.getblocking()
        source.close()
        far.send(b"still open")
        assert near.recv(100) == b"still open"


def test_file_is_always_ready_and_knows_what_is_left(sock_dir: str) -> None:
    with open(f"{sock_dir}/f", "wb+") as file:
        file.write(b"abcdef")
        file.seek(0)
        source = Input(file.fileno())
        assert source.wait_fd is None
        assert (source.try_receive(2), source.queued()) == (b"ab", 4)
        assert (source.try_receive(9), source.queued(), source.try_receive(9)) == (b"cdef", 0, b"")
        source.close()


def test_file_without_a_size_says_whether_there_is_more() -> None:
    with open("/proc/self/stat", "rb") as file:
        source = Input(file.fileno())
        assert source.queued() > 0
        while source.try_receive(4096):
            pass
        assert source.queued() == 0
        source.close()


def test_dev_null_ends_at_once_and_dev_zero_never() -> None:
    with open("/dev/null", "rb") as null, open("/dev/zero", "rb") as zero:
        nothing, endless = Input(null.fileno()), Input(zero.fileno())
        assert (nothing.wait_fd, nothing.queued(), nothing.try_receive(5)) == (None, 0, b"")
        assert (endless.wait_fd, endless.queued(), endless.try_receive(5)) == (None, 1, bytes(5))
        nothing.close()
        endless.close()


def test_what_cannot_be_read_is_an_error(sock_dir: str) -> None:
    directory = os.open(sock_dir, os.O_RDONLY)
    write_only = os.open("/dev/null", os.O_WRONLY)
    for fd, kind in ((directory, IsADirectoryError), (write_only, OSError)):
        source = Input(fd)
        with pytest.raises(kind):
            source.try_receive(1)
        source.close()
        os.close(fd)


def test_unread_bytes_come_first_also_after_the_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    source = Input(reader)
    os.write(writer, b"abc")
    os.close(writer)
    assert (source.try_receive(9), source.try_receive(9)) == (b"abc", b"")
    source.unread(b"bc")
    assert not source.is_exhausted
    assert (source.bytes_received, source.queued()) == (1, 2)
    assert (source.try_receive(9), source.try_receive(9)) == (b"bc", b"")
    assert source.is_exhausted
    source.close()
