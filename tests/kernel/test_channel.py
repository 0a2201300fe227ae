"""One attempt a call: what each answers, and what is counted."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator

import pytest

from afunix.kernel.channel import SO_PEEK_OFF, Channel
from afunix.model.errors import TruncatedError

Pair = tuple[Channel, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    channel = Channel(near)
    with far:
        yield channel, far
    channel.close()


def test_nothing_there_yet_is_none_and_the_end_is_empty(pair: Pair) -> None:
    channel, far = pair
    assert channel.try_receive(10) is None
    far.shutdown(socket.SHUT_WR)
    assert not channel.receive_ended
    assert channel.try_receive(10) == b""
    assert channel.receive_ended


def test_blocking_flag_of_the_socket_is_neither_used_nor_changed(pair: Pair) -> None:
    channel, _ = pair
    assert channel.socket.gettimeout() is None
    assert channel.try_receive(1) is None
    while channel.try_send(bytes(65536)):
        pass
    assert channel.socket.gettimeout() is None


def test_no_room_is_zero_and_what_was_taken_is_counted(pair: Pair) -> None:
    channel, far = pair
    taken = 0
    while sent := channel.try_send(bytes(65536)):
        taken += sent
    assert channel.bytes_sent == taken > 0
    assert channel.try_send_many([b"x", b"y"]) == 0
    far.recv(1 << 20)
    assert channel.try_send_many([b"x", b"yz"]) == 3
    assert channel.bytes_sent == taken + 3


def test_unread_bytes_come_first_and_are_counted_once(pair: Pair) -> None:
    channel, far = pair
    far.send(b"abcd")
    assert channel.try_receive(10) == b"abcd"
    channel.unread(b"cd")
    assert (channel.bytes_received, channel.queued()) == (4, 2)
    assert (channel.try_receive(1), channel.try_receive(10)) == (b"c", b"d")
    assert channel.bytes_received == 4


def test_peek_leaves_the_bytes_and_starts_at_its_offset(pair: Pair) -> None:
    channel, far = pair
    assert channel.try_peek(4) is None
    far.send(b"abcdef")
    assert channel.try_peek(2, 3) == b"de"
    assert channel.queued() == 6
    assert channel.try_receive(10) == b"abcdef"


def test_what_came_before_a_reset_is_received_before_it(pair: Pair) -> None:
    channel, far = pair
    channel.try_send(b"unread")
    far.send(b"final")
    far.close()
    assert channel.try_receive(10) == b"final"
    with pytest.raises(ConnectionResetError):
        channel.try_receive(10)
    assert channel.try_receive(10) == b""


def test_peer_that_reads_no_more_breaks_sending(pair: Pair) -> None:
    channel, far = pair
    far.shutdown(socket.SHUT_RD)
    with pytest.raises(BrokenPipeError):
        channel.try_send(b"x")


def test_detached_socket_goes_with_its_unread_bytes(pair: Pair) -> None:
    channel, far = pair
    channel.unread(b"rest")
    sock, unread = channel.detach()
    assert (unread, channel.is_closed) == (b"rest", True)
    far.send(b"x")
    assert sock.recv(1) == b"x"
    sock.close()


@pytest.mark.parametrize("timeout", [5.0, 0.0, None])
def test_no_call_waits_whatever_the_sockets_own_timeout(timeout: float | None) -> None:
    near, far = socket.socketpair()
    near.settimeout(timeout)
    blocking = os.get_blocking(near.fileno())
    channel = Channel(near)
    started = time.monotonic()
    with far:
        assert channel.try_receive(1) is None
        assert channel.try_receive_fds(1, 1) is None
        assert channel.try_receive_into(memoryview(bytearray(1))) is None
        while channel.try_send(bytes(65536)):
            pass
        assert os.get_blocking(channel.fd) == blocking
    channel.close()
    assert time.monotonic() - started < 3


def test_descriptors_come_with_the_message_that_carried_them_and_nothing_after_it(pair: Pair) -> None:
    channel, far = pair
    far.send(b"before")
    socket.send_fds(far, [b"first"], [0])
    far.send(b"after")
    taken = channel.try_receive_fds(100, 2)
    assert taken is not None
    assert (taken[0], len(taken[1])) == (b"beforefirst", 1)
    assert not os.get_inheritable(taken[1][0])
    os.close(taken[1][0])
    assert channel.try_receive_fds(100, 2) == (b"after", [])


@pytest.mark.parametrize("max_fds", [1, 2, 9, 252])
def test_more_descriptors_than_were_asked_for_are_closed_and_the_bytes_put_back(
    pair: Pair, max_fds: int
) -> None:
    channel, far = pair
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(far, [b"abc"], [0] * 253)
    with pytest.raises(TruncatedError, match="more descriptors arrived"):
        channel.try_receive_fds(10, max_fds)
    assert len(os.listdir("/proc/self/fd")) == before
    assert channel.descriptors_closed >= max_fds
    assert (channel.bytes_received, channel.try_receive(10)) == (3, b"abc")


def test_a_look_leaves_the_bytes_and_the_options_and_tells_the_end(pair: Pair) -> None:
    channel, far = pair
    offset = channel.socket.getsockopt(socket.SOL_SOCKET, SO_PEEK_OFF)
    assert channel.try_look(9) is None
    far.send(b"abc")
    assert (channel.try_look(2), channel.try_look(9), channel.try_receive(9)) == (b"ab", b"abc", b"abc")
    far.shutdown(socket.SHUT_WR)
    assert channel.try_look(9) == b""
    assert channel.socket.getsockopt(socket.SOL_SOCKET, SO_PEEK_OFF) == offset


def test_counters_never_go_below_what_came(pair: Pair) -> None:
    channel, far = pair
    channel.unread(b"never came")
    assert channel.bytes_received == 0
    far.send(b"came")
    assert (channel.try_receive(10), channel.try_receive(10)) == (b"never came", b"came")
    assert channel.bytes_received == 4


def test_that_our_own_table_was_full_is_said_and_the_bytes_are_put_back(pair: Pair) -> None:
    channel, far = pair
    socket.send_fds(far, [b"abc"], [0])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = next(fd for fd in range(1 << 20) if not os.path.exists(f"/proc/self/fd/{fd}"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(TruncatedError, match=r"could be opened .*EMFILE"):
            channel.try_receive_fds(10, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert channel.try_receive(10) == b"abc"


def test_descriptors_come_beside_credentials(pair: Pair) -> None:
    channel, far = pair
    channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    socket.send_fds(far, [b"abc"], [0] * 2)
    taken = channel.try_receive_fds(10, 2)
    assert taken is not None
    assert len(taken[1]) == 2
    for fd in taken[1]:
        os.close(fd)


def test_put_back_bytes_come_in_pieces_and_before_the_rest(pair: Pair) -> None:
    channel, far = pair
    far.send(b"e\nf")
    channel.unread(b"b\ncd")
    channel.unread(b"a")
    assert (channel.find_unread(b"\n"), channel.find_unread(b"\n", 3), channel.bytes_put_back) == (2, -1, 5)
    buffer = bytearray(2)
    assert (channel.try_receive_into(memoryview(buffer)), bytes(buffer)) == (2, b"ab")
    channel.append_unread(b"+")
    assert channel.try_receive_fds(100, 1) == (b"\ncd+", [])
    assert (channel.try_receive(10), channel.find_unread(b"\n"), channel.take_all_unread()) == (
        b"e\nf",
        -1,
        b"",
    )


@pytest.mark.parametrize(
    ("kind", "queued"), [(socket.SOCK_STREAM, 3), (socket.SOCK_SEQPACKET, 3), (socket.SOCK_DGRAM, 1)]
)
def test_queued_is_all_that_is_there_but_of_datagrams_the_next_one(kind: int, queued: int) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, kind)
    channel = Channel(near)
    with far:
        far.send(b"1")
        far.send(b"23")
        assert channel.queued() == queued
    channel.close()


def test_error_that_nobody_was_told_of_can_be_asked_for_once() -> None:
    one, other = socket.socketpair()
    channel = Channel(one)
    assert channel.take_error() is None
    channel.try_send(memoryview(b"unread"))
    other.close()
    assert isinstance(channel.take_error(), ConnectionResetError)
    assert channel.take_error() is None
    channel.close()
    assert channel.take_error() is None
