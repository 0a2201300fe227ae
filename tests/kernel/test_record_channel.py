"""Records come and go whole, the end of a connection is told from an empty one, and nothing is left open."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel.record_channel import RecordChannel
from afunix.model.errors import TruncatedError

Pair = tuple[RecordChannel, socket.socket]


def make_pair(kind: int) -> Iterator[Pair]:
    near, far = socket.socketpair(socket.AF_UNIX, kind)
    channel = RecordChannel(near)
    with far:
        yield channel, far
    channel.close()


@pytest.fixture
def records() -> Iterator[Pair]:
    yield from make_pair(socket.SOCK_SEQPACKET)


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


def test_descriptors_come_with_their_record_and_the_end_is_still_told(records: Pair) -> None:
    channel, far = records
    with open(os.devnull) as null:
        socket.send_fds(far, [b""], [null.fileno()])
    far.close()
    taken = channel.try_receive_record_fds(1)
    assert taken is not None
    data, (fd,) = taken
    assert (data, channel.receive_ended, os.get_inheritable(fd)) == (b"", False, False)
    os.close(fd)
    assert channel.try_receive_record_fds(1) == (b"", [])
    assert channel.receive_ended


@pytest.mark.parametrize(("max_fds", "max_bytes"), [(2, None), (3, 1)])
def test_a_record_that_is_more_than_asked_for_stays_whole(
    records: Pair, max_fds: int, max_bytes: int | None
) -> None:
    channel, far = records
    with open(os.devnull) as null:
        socket.send_fds(far, [b"12"], [null.fileno()] * 3)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(TruncatedError):
        channel.try_receive_record_fds(max_fds, max_bytes)
    assert len(os.listdir("/proc/self/fd")) == before
    taken = channel.try_receive_record_fds(3, 2)
    assert taken is not None
    assert (taken[0], len(taken[1])) == (b"12", 3)
    for fd in taken[1]:
        os.close(fd)
