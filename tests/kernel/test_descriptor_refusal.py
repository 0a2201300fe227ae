"""A receive that meets descriptors fails, once, whoever dropped them; bytes without any pass."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from afunix.kernel.channel import Channel
from afunix.kernel.descriptor_refusal import explain_refused, refusal, refusing

Pair = tuple[Channel, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    with far, closing(Channel(near)) as channel:
        yield channel, far


def test_bytes_without_descriptors_pass(pair: Pair) -> None:
    receive = refusing(pair[0])
    assert receive(10) is None
    pair[1].send(b"abc")
    assert receive(10) == b"abc"
    pair[1].close()
    assert receive(10) == b""


def test_the_bytes_before_them_are_received(pair: Pair) -> None:
    receive = refusing(pair[0])
    pair[1].send(b"before")
    socket.send_fds(pair[1], [b"abc"], [0])
    assert (receive(4), receive(10)) == (b"befo", b"re")
    with pytest.raises(OSError, match="none are passed on"):
        receive(10)


def test_a_close_after_that_resets_the_connection(pair: Pair) -> None:
    receive = refusing(pair[0])
    socket.send_fds(pair[1], [b"abc"], [0])
    with pytest.raises(OSError, match="none are passed on"):
        receive(10)
    pair[0].close()
    with pytest.raises(ConnectionResetError):
        pair[1].recv(10)


def test_descriptors_are_an_error_and_what_came_with_them_stays_queued(pair: Pair) -> None:
    receive = refusing(pair[0])
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(pair[1], [b"abc"], [0])
    with pytest.raises(OSError, match="descriptors were sent, and none are passed on") as caught:
        receive(10)
    assert caught.value.errno == errno.EOPNOTSUPP
    assert (pair[0].queued(), len(os.listdir("/proc/self/fd"))) == (3, before)


def test_credentials_that_a_listener_asked_for_are_no_descriptors(pair: Pair) -> None:
    pair[0].socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    receive = refusing(pair[0])
    pair[1].send(b"abc")
    assert receive(10) == b"abc"


def test_a_record_s_descriptors_are_an_error_too() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far, closing(Channel(near)) as channel:
        far.send(b"abc")
        channel.try_receive_record()
        assert refusal(channel) is None
        socket.send_fds(far, [b"abc"], [0])
        channel.try_receive_record()
        assert refusal(channel) is not None


def test_errors_about_descriptors_are_put_into_words() -> None:
    for number, words in ((errno.EPERM, "takes none"), (errno.ETOOMANYREFS, "too many are under way")):
        explained = explain_refused(OSError(number, "x"), 2)
        assert (explained.errno, explained.strerror) != (number, "x")
        assert words in str(explained) and "2 descriptors" in str(explained)
    broken = BrokenPipeError(errno.EPIPE, "x")
    assert explain_refused(broken, 2) is broken
    denied = OSError(errno.EPERM, "x")
    assert explain_refused(denied, 0) is denied


def test_one_descriptor_that_is_refused_is_told_as_one() -> None:
    refused = explain_refused(OSError(errno.EPERM, "Operation not permitted"), 1)
    assert refused.strerror == "1 descriptor could not be passed on: the receiver takes none (EPERM)"
