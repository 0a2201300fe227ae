"""Descriptors that arrive are found, and closed where nobody wants them."""

from __future__ import annotations

import array
import errno
import os
import socket

import pytest

from afunix.kernel.ancillary import (
    SCM_PIDFD,
    accept_fds_within,
    close_descriptors,
    descriptors_in,
    pack_descriptors,
    space_for,
    take_descriptors,
)
from afunix.kernel.channel import Channel

_SO_PASSPIDFD = 76


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


def test_as_many_descriptors_as_a_message_carries_can_be_asked_for() -> None:
    assert [accept_fds_within(count) for count in (0, 1, 253)] == [0, 1, 253]
    for wrong in (-1, 254):
        with pytest.raises(ValueError, match=f"accept_fds is {wrong}, expected 0 to 253"):
            accept_fds_within(wrong)
    with pytest.raises(TypeError, match="accept_fds is bool, expected int"):
        accept_fds_within(True)


def test_what_else_the_kernel_opened_is_closed_when_descriptors_are_taken() -> None:
    pidfd = os.pidfd_open(os.getpid())
    fds = array.array("i", [0, 1])
    ancillary = [
        (socket.SOL_SOCKET, SCM_PIDFD, array.array("i", [pidfd]).tobytes()),
        (socket.SOL_SOCKET, socket.SCM_RIGHTS, fds.tobytes()),
    ]
    assert take_descriptors(ancillary) == [0, 1]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(pidfd)


def test_a_process_that_was_reaped_has_no_descriptor_to_close() -> None:
    ancillary = [(socket.SOL_SOCKET, SCM_PIDFD, array.array("i", [-3]).tobytes())]
    assert take_descriptors(ancillary) == []


def test_descriptors_in_several_messages_are_all_found_and_a_cut_one_is_left_out() -> None:
    ancillary = [
        (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [7, 8]).tobytes()),
        (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [9]).tobytes() + b"\1\2"),
        (socket.IPPROTO_IP, socket.SCM_RIGHTS, array.array("i", [10]).tobytes()),
    ]
    assert descriptors_in(ancillary) == [7, 8, 9]


def ask_for_all_about_the_sender(sock: socket.socket) -> None:
    for option in (socket.SO_PASSCRED, socket.SO_PASSSEC, _SO_PASSPIDFD):
        try:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        except OSError as error:
            if error.errno not in (errno.ENOPROTOOPT, errno.EOPNOTSUPP):
                raise  # else before Linux 6.5, or without what it needs


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
@pytest.mark.parametrize("count", [1, 253])
def test_there_is_room_for_the_descriptors_beside_all_about_the_sender(
    kind: socket.SocketKind, count: int
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    ask_for_all_about_the_sender(theirs)
    channel = Channel(theirs)
    with ours, open(os.devnull) as null:
        socket.send_fds(ours, [b"x"], [null.fileno()] * count)
        is_stream = kind == socket.SOCK_STREAM
        taken = channel.try_receive_fds(1, count) if is_stream else channel.try_receive_record_fds(count)
        channel.close()
    assert taken is not None
    assert (taken[0], len(taken[1])) == (b"x", count)
    for fd in taken[1]:
        os.close(fd)


def test_there_is_room_for_a_long_label_too() -> None:
    assert space_for(3) >= sum(map(socket.CMSG_SPACE, (12, 4, 4096, 3 * 4)))


def test_descriptors_are_packed_as_the_kernel_takes_them() -> None:
    assert pack_descriptors([]) == []
    assert pack_descriptors((5, 6)) == [
        (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [5, 6]).tobytes())
    ]
