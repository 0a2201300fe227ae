"""Records come and go whole, the end of a connection is told from an empty one, and nothing is left open."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator

import pytest
from tests.rival import Rival

from afunix.kernel.record_channel import RecordChannel
from afunix.model.errors import TruncatedError
from afunix.testing import Faults

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


@pytest.fixture
def shared() -> Iterator[Pair]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = RecordChannel(Rival.of(near))
    with far:
        yield channel, far
    channel.close()


def send_file_of(size: int, far: socket.socket, data: bytes, times: int = 1) -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        socket.send_fds(far, [data], [file.fileno()] * times)


def close_all(fds: list[int]) -> list[int]:
    """Closes them; how long the files were."""
    sizes = [os.fstat(fd).st_size for fd in fds]
    for fd in fds:
        os.close(fd)
    return sizes


@pytest.mark.parametrize("max_bytes", [None, 5000])
def test_a_record_is_whole_though_another_process_took_the_one_before_it(
    shared: Pair, max_bytes: int | None
) -> None:
    channel, far = shared
    for record in (b"short", b"x" * 5000):
        far.send(record)
    received = [channel.try_receive_record(max_bytes) for _ in range(2)]
    assert received == ([b"short", b"x" * 5000] if max_bytes is None else [b"x" * 5000, None])


def test_descriptors_are_those_of_their_record_though_another_process_took_the_one_before_it(
    shared: Pair,
) -> None:
    channel, far = shared
    send_file_of(1, far, b"one")
    send_file_of(2, far, b"two", times=2)
    taken = channel.try_receive_record_fds(2)
    assert taken is not None
    assert (taken[0], close_all(taken[1])) == (b"two", [2, 2])


def test_a_record_that_took_the_place_of_the_one_looked_at_is_kept_until_enough_is_asked_for(
    shared: Pair,
) -> None:
    channel, far = shared
    send_file_of(1, far, b"1")
    send_file_of(2, far, b"22", times=2)
    for max_fds, max_bytes in ((1, None), (1, 1), (2, 1)):
        with pytest.raises(TruncatedError):
            channel.try_receive_record_fds(max_fds, max_bytes)
        assert channel.holds_record
    taken = channel.try_receive_record_fds(2, 2)
    assert taken is not None
    assert (taken[0], close_all(taken[1])) == (b"22", [2, 2])
    assert (channel.holds_record, channel.bytes_received) == (False, 2)


def test_a_plain_receive_of_a_kept_record_closes_and_counts_its_descriptors(shared: Pair) -> None:
    channel, far = shared
    send_file_of(1, far, b"1")
    before = len(os.listdir("/proc/self/fd"))
    send_file_of(2, far, b"22", times=2)
    with pytest.raises(TruncatedError):
        channel.try_receive_record_fds(1)
    assert channel.try_receive_record() == b"22"
    assert channel.descriptors_closed == 2
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_kept_record_is_closed_with_its_channel(shared: Pair) -> None:
    channel, far = shared
    before = len(os.listdir("/proc/self/fd"))
    send_file_of(1, far, b"1")
    send_file_of(2, far, b"22", times=2)
    with pytest.raises(TruncatedError):
        channel.try_receive_record_fds(1)
    channel.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_descriptors_that_could_not_be_opened_are_told_and_their_record_still_comes() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    faults = Faults()
    channel = RecordChannel(faults.apply_to(near))
    before = len(os.listdir("/proc/self/fd"))
    with far:
        send_file_of(1, far, b"12", times=3)
        faults.receiving.truncate_control(2, keep=1)
        with pytest.raises(TruncatedError, match=r"could be opened .*EMFILE"):
            channel._take_next(3)
        assert len(os.listdir("/proc/self/fd")) == before
        assert channel.try_receive_record_fds(3) == (b"12", [])
    channel.close()
