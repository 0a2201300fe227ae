"""What the kernel says of a message with descriptors, in words."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket

import pytest

from afunix.kernel.send_refusal import can_be_sent, explain
from afunix.model.errors import (
    BrokenStreamError,
    DescriptorsNotAcceptedError,
    MessageTooLongError,
    NobodyListensError,
)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.EPERM, DescriptorsNotAcceptedError, "takes no descriptors (EPERM)"),
        (
            errno.EMSGSIZE,
            MessageTooLongError,
            "9 bytes are too many for one message to './x.sock', expected at most 8",
        ),
        (errno.ECONNREFUSED, NobodyListensError, "is closed"),
        (errno.EPIPE, BrokenStreamError, "closed the connection"),
        (errno.ECONNRESET, BrokenStreamError, "closed the connection"),
    ],
)
def test_each_errno_is_whose_side_it_is(number: int, kind: type[Exception], words: str) -> None:
    found = explain(OSError(number, ""), "./x.sock", [0], 9, most=8)
    assert isinstance(found, kind)
    assert words in str(found)


def test_too_many_under_way_is_told_by_its_name() -> None:
    assert "ETOOMANYREFS" in str(explain(OSError(errno.ETOOMANYREFS, ""), "./x.sock", [0], 9))


def test_what_is_not_about_descriptors_stays_as_it_is() -> None:
    error = OSError(errno.ENOBUFS, "")
    assert explain(error, "./x.sock", [0], 9) is error


def test_most_kinds_can_be_sent() -> None:
    read_fd, write_fd = os.pipe()
    with select.epoll() as poll:
        assert all(map(can_be_sent, (read_fd, write_fd, poll.fileno())))
    os.close(read_fd)
    os.close(write_fd)


def test_one_that_was_closed_meanwhile_is_named() -> None:
    read_fd, write_fd = os.pipe()
    os.close(write_fd)
    found = explain(OSError(errno.EBADF, ""), "./x.sock", [read_fd, write_fd], 9)
    os.close(read_fd)
    assert f"descriptor {write_fd} is not open (EBADF)" in str(found)


def open_io_uring() -> int:
    """io_uring_setup(2), for which Python has no name; -1 where it is not to be had."""
    parameters = ctypes.create_string_buffer(120)
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(425), ctypes.c_uint(1), parameters))


def test_the_one_that_cannot_be_sent_is_named() -> None:
    ring = open_io_uring()
    if ring < 0:
        pytest.skip("this kernel or its sandbox has no io_uring")
    one, other = socket.socketpair()
    with one, other, pytest.raises(OSError) as caught:
        socket.send_fds(one, [b"x"], [0, ring])
    found = explain(caught.value, "./x.sock", [0, ring], 1)
    os.close(ring)
    assert f"descriptor {ring} ('io_uring') cannot be sent (EINVAL)" in str(found)
