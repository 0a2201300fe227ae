"""Descriptors that arrived: one owner each, closed if nobody claims them, and never closed twice."""

from __future__ import annotations

import errno
import gc
import os
import socket
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from afunix.kernel.ancillary import MAX_FDS
from afunix.kernel.descriptors import (
    Fd,
    Received,
    explain_not_open,
    explain_unreadable,
    number_of,
    numbers_of,
)
from afunix.model.errors import ClosedError


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def null() -> int:
    return os.open("/dev/null", os.O_RDWR)


def test_a_descriptor_is_closed_with_its_owner_and_once() -> None:
    number = null()
    with Fd(number) as fd:
        assert (fd.fileno(), fd.is_closed, repr(fd)) == (number, False, f"<Fd {number}>")
    assert (is_open(number), fd.is_closed, repr(fd)) == (False, True, "<Fd closed>")
    again = null()
    fd.close()
    assert again == number  # its number was free, and is somebody else's now
    assert is_open(again)
    os.close(again)


@pytest.mark.parametrize("use", [Fd.fileno, Fd.take, Fd.open, Fd.socket])
def test_what_was_closed_or_taken_says_so(use: Callable[[Fd], object]) -> None:
    fd = Fd(null())
    fd.close()
    with pytest.raises(ClosedError, match="closed or taken"):
        use(fd)


def test_who_takes_the_number_owns_it() -> None:
    fd = Fd(null())
    number = fd.take()
    fd.close()
    assert is_open(number)
    os.close(number)


def test_it_opens_as_the_file_that_it_is() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"content")
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        fd = Fd(os.dup(file.fileno()))
        with fd.open("r", encoding="ascii") as opened:
            assert opened.read() == "content"
            assert not os.get_inheritable(opened.fileno())
        assert fd.is_closed


@pytest.mark.parametrize(
    ("mode", "options"),
    [("rb", {}), ("bogus", {}), ("r+b", {}), ("r", {"encoding": "bogus"}), ("rb", {"buffering": -7})],
)
def test_a_file_that_cannot_be_opened_leaves_the_descriptor_ours(
    mode: str, options: dict[str, object]
) -> None:
    reader, writer = os.pipe()
    number = os.open("/", os.O_RDONLY) if mode == "rb" and not options else reader
    fd = Fd(number)
    before = len(os.listdir("/proc/self/fd"))
    try:
        fd.open(mode, **options).close()
    except (OSError, ValueError, LookupError):
        assert fd.fileno() == number
        assert is_open(number)
        assert len(os.listdir("/proc/self/fd")) == before
    else:
        assert options == {"buffering": -7}  # which Python takes for the default
    fd.close()
    for end in {reader, writer} - {number}:
        os.close(end)


def test_it_becomes_the_socket_that_it_is() -> None:
    one, other = socket.socketpair()
    with one, other:
        fd = Fd(os.dup(one.fileno()))
        with fd.socket() as sock:
            other.send(b"x")
            assert (sock.family, sock.recv(1), fd.is_closed) == (socket.AF_UNIX, b"x", True)


def test_what_is_no_socket_stays_a_descriptor() -> None:
    with Fd(null()) as fd:
        with pytest.raises(OSError, match="non-socket"):
            fd.socket()
        assert is_open(fd.fileno())


def test_a_forgotten_descriptor_warns_and_is_closed() -> None:
    fd = Fd(number := null())
    with pytest.warns(ResourceWarning, match=f"unclosed received descriptor {number}"):
        del fd
        gc.collect()
    assert not is_open(number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_forgotten_descriptor_is_closed_also_where_warnings_are_errors() -> None:
    fd = Fd(number := null())
    with warnings.catch_warnings(action="error"):
        del fd
        gc.collect()
    assert not is_open(number)


def test_what_nobody_takes_from_what_was_received_is_closed() -> None:
    numbers = [null(), null(), null()]
    with Received(b"data", numbers) as received:
        assert (received.data, [fd.fileno() for fd in received], len(received.fds)) == (b"data", numbers, 3)
        assert repr(received) == "<Received 4 bytes, 3 descriptors>"
        taken = received.fds[1].take()
    assert [is_open(number) for number in numbers] == [False, True, False]
    os.close(taken)
    received.close()


def test_a_descriptor_to_send_is_a_number_or_has_one() -> None:
    with tempfile.TemporaryFile() as file, Fd(null()) as fd:
        assert numbers_of([0, file, fd]) == [0, file.fileno(), fd.fileno()]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [("0", TypeError), (None, TypeError), (True, TypeError), (-1, ValueError), (2**31, ValueError)],
)
def test_what_can_be_no_descriptor_is_refused(wrong: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        number_of(wrong)  # type: ignore[arg-type]


def test_what_is_closed_is_refused() -> None:
    sock = socket.socket()
    sock.close()
    fd = Fd(null())
    fd.close()
    with pytest.raises(ValueError, match="-1 is no descriptor"):
        number_of(sock)
    with pytest.raises(ClosedError):
        number_of(fd)


def test_more_descriptors_than_a_message_carries_are_refused() -> None:
    assert len(numbers_of([0] * MAX_FDS)) == 253
    with pytest.raises(ValueError, match="254 descriptors in one message"):
        numbers_of([0] * 254)


@pytest.mark.parametrize("fds", [3, None, "12", b"12", iter([0])])
def test_what_is_no_list_of_descriptors_is_refused(fds: Any) -> None:
    with pytest.raises(TypeError, match=f"fds is {type(fds).__name__}, expected a list of descriptors"):
        numbers_of(fds)


def test_of_several_descriptors_the_one_that_is_not_open_is_named() -> None:
    error = OSError(errno.EBADF, os.strerror(errno.EBADF))
    assert "descriptor 99999 is not open (EBADF)" in str(explain_not_open(error, [0, 99999]))
    assert explain_not_open(error, [0]) is error  # then it was the socket
    other = OSError(errno.EPERM, "no")
    assert explain_not_open(other, [99999]) is other


def test_what_cannot_be_read_at_an_offset_is_named_for_what_it_is() -> None:
    reading, writing = os.pipe()
    try:
        found = explain_unreadable(OSError(errno.ESPIPE, "Illegal seek"), reading)
    finally:
        os.close(reading)
        os.close(writing)
    assert found.errno == errno.ESPIPE
    assert f"descriptor {reading} is a pipe (ESPIPE), expected a regular file" in str(found)
    broken = OSError(errno.EIO, "the disk")
    assert explain_unreadable(broken, 0) is broken
