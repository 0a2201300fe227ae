"""One attempt a call: what each answers, what is counted, and what `--trace` is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel.channel import Channel, TracedChannel
from afunix.model import events
from afunix.model.lifecycle import Call

Pair = tuple[Channel, socket.socket]


def make_pair(kind: int) -> Iterator[Pair]:
    near, far = socket.socketpair(socket.AF_UNIX, kind)
    channel = Channel(near)
    with far:
        yield channel, far
    channel.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    yield from make_pair(socket.SOCK_STREAM)


@pytest.fixture
def records() -> Iterator[Pair]:
    yield from make_pair(socket.SOCK_SEQPACKET)


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
    assert (channel.bytes_received, channel.queued()) == (2, 2)
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


def test_half_close_is_told_once_and_the_other_half_lives(pair: Pair) -> None:
    channel, far = pair
    channel.end_sending()
    channel.end_sending()
    assert far.recv(1) == b""
    far.send(b"still")
    assert channel.try_receive(10) == b"still"


def test_half_closes_after_the_peer_left_are_harmless(pair: Pair) -> None:
    channel, far = pair
    far.close()
    channel.end_sending()
    channel.end_receiving()


def test_after_the_end_of_receiving_the_queue_can_still_be_read(pair: Pair) -> None:
    channel, far = pair
    far.send(b"queued")
    channel.end_receiving()
    with pytest.raises(BrokenPipeError):
        far.send(b"more")
    assert (channel.try_receive(10), channel.try_receive(10)) == (b"queued", b"")


def test_close_is_idempotent_and_peer_stays_known(pair: Pair) -> None:
    channel, _ = pair
    assert channel.peer.uid == os.geteuid()
    channel.close()
    channel.close()
    assert channel.is_closed
    assert channel.peer.pid == os.getpid()


def test_detached_socket_goes_with_its_unread_bytes(pair: Pair) -> None:
    channel, far = pair
    channel.unread(b"rest")
    sock, unread = channel.detach()
    assert (unread, channel.is_closed) == (b"rest", True)
    far.send(b"x")
    assert sock.recv(1) == b"x"
    sock.close()


def test_records_come_whole_and_an_empty_one_is_not_the_end(records: Pair) -> None:
    channel, far = records
    for record in (b"a", b"", b"x" * 70_000, b""):
        far.send(record)
    far.close()
    received = []
    while not channel.receive_ended:
        received.append(channel.try_receive_record())
    assert received == [b"a", b"", b"x" * 70_000, b"", b""]  # the last is the end itself


def test_records_before_a_reset_are_received_before_it(records: Pair) -> None:
    channel, far = records
    channel.try_send_record(b"unread")
    far.send(b"one")
    far.send(b"two")
    far.close()
    assert (channel.try_receive_record(), channel.try_receive_record()) == (b"one", b"two")
    with pytest.raises(ConnectionResetError):
        channel.try_receive_record()
    assert (channel.try_receive_record(), channel.receive_ended) == (b"", True)


def test_no_record_yet_is_none(records: Pair) -> None:
    channel, _ = records
    assert channel.try_receive_record() is None
    assert not channel.receive_ended


def test_empty_datagram_is_never_the_end() -> None:
    for channel, far in make_pair(socket.SOCK_DGRAM):
        far.send(b"")
        assert channel.try_receive_record() == b""
        assert not channel.receive_ended


def test_sent_record_may_be_empty_and_the_limit_is_the_kernels(records: Pair) -> None:
    channel, far = records
    longest = channel.max_record_bytes()
    assert channel.try_send_record(b"")
    assert channel.try_send_record(bytes(longest))
    assert (far.recv(10), len(far.recv(1 << 20))) == (b"", longest)
    with pytest.raises(OSError, match="Message too long"):
        channel.try_send_record(bytes(longest + 1))


def test_record_waits_for_room(records: Pair) -> None:
    channel, far = records
    while channel.try_send_record(bytes(10_000)):
        pass
    sent = channel.bytes_sent
    far.recv(10_000)
    assert channel.try_send_record(bytes(10_000))
    assert channel.bytes_sent == sent + 10_000


@pytest.mark.parametrize("owned", [True, False])
def test_traced_channel_tells_each_call_with_its_result(owned: bool) -> None:
    near, far = socket.socketpair()
    seen: list[events.Event] = []
    channel = TracedChannel(near, observer=seen.append, owned=owned)
    fd = channel.fd
    with far:
        assert channel.try_receive(9) is None
        assert channel.try_send(b"hello") == 5
        far.send(b"abc")
        assert channel.try_receive(9) == b"abc"
        channel.end_sending()
        far.shutdown(socket.SHUT_WR)
        assert channel.try_receive(9) == b""
    with pytest.raises(BrokenPipeError):
        channel.try_send(b"x")
    channel.close()
    assert seen == [
        events.BytesWritten(fd, 5),
        events.BytesRead(fd, 3),
        events.HalfClosed(fd, events.Direction.SENDING),
        events.BytesRead(fd, 0),
        events.CallFailed(fd, Call.WRITE, 32),
    ]


def test_traced_channel_leaves_the_flags_of_a_socket_that_is_not_ours() -> None:
    near, far = socket.socketpair()
    with far:
        channel = TracedChannel(near, observer=lambda event: None, owned=False)
        assert os.get_blocking(channel.fd)
        channel.close()
