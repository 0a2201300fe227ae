"""Descriptors that arrive are found, and closed where nobody wants them."""

from __future__ import annotations

import os
import socket

from afunix.kernel.ancillary import close_descriptors, descriptors_in
from afunix.kernel.channel import Channel


def sent_along(count: int) -> list[tuple[int, int, bytes]]:
    """What recvmsg gives for one byte that came with `count` descriptors of /dev/null."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    null = os.open("/dev/null", os.O_RDONLY)
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [null] * count)
        os.close(null)
        _, ancillary, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(4 * count), socket.MSG_CMSG_CLOEXEC)
        return list(ancillary)


def test_descriptors_are_found_and_are_the_callers() -> None:
    found = descriptors_in(sent_along(3))
    assert len(found) == 3
    for fd in found:
        os.close(fd)


def test_unwanted_descriptors_are_closed_and_counted() -> None:
    assert close_descriptors(sent_along(2)) == 2


def test_other_control_messages_hold_no_descriptors() -> None:
    assert descriptors_in([(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, bytes(12))]) == []


def test_descriptor_that_was_cut_is_none() -> None:
    assert descriptors_in([(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"\1\0\0")]) == []


def test_record_that_brings_descriptors_leaves_none_open() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    null = os.open("/dev/null", os.O_RDONLY)
    channel = Channel(theirs)
    try:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            socket.send_fds(ours, [b"record"], [null] * 4)
            assert channel.try_receive_record() == b"record"
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        os.close(null)
        ours.close()
        channel.close()
