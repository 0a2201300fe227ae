"""Records out and in: never cut, never joined, none lost."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from afunix.formats.records import RecordFormat, RecordSplitter, frame
from afunix.kernel.channel import Channel
from afunix.kernel.pump import Wants
from afunix.kernel.record_pump import FramedRecords, RecordPump

Pair = tuple[Channel, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far:
        far.settimeout(10)
        yield Channel(near), far
    near.close()


def giving(*pieces: bytes | None) -> Callable[[int], bytes | None]:
    left = iter(pieces)
    return lambda max_bytes: next(left, b"")


def pump_of(channel: Channel, *pieces: bytes | None, form: RecordFormat = RecordFormat.LINES) -> RecordPump:
    return RecordPump(giving(*pieces), channel, RecordSplitter(form), at_end=channel.end_sending)


def test_lines_leave_as_records_the_unfinished_one_at_the_end(pair: Pair) -> None:
    channel, far = pair
    pump = pump_of(channel, b"one\ntw", None, b"o\n\nthr", b"ee")
    assert pump.step() is Wants.SOURCE
    assert (far.recv(100), pump.held, pump.moved) == (b"one", 2, 3)
    assert pump.step() is Wants.NOTHING
    assert [far.recv(100) for _ in range(4)] == [b"two", b"", b"three", b""]
    assert pump.held == 0


def test_full_receiver_slows_it_and_nothing_is_lost(pair: Pair) -> None:
    channel, far = pair
    records = [b"%d" % number * 1000 for number in range(1000)]
    pump = pump_of(channel, b"\n".join(records))
    got = []
    while pump.step() is not Wants.NOTHING:
        got += [far.recv(1 << 16) for _ in range(5)]
    far.setblocking(False)
    while piece := far.recv(1 << 16):
        got.append(piece)
    assert got == records


def test_one_step_has_an_end(pair: Pair) -> None:
    channel, _ = pair
    pump = RecordPump(lambda max_bytes: b"\n" * 10, channel, RecordSplitter(RecordFormat.LINES))
    assert pump.step() in (Wants.TURN, Wants.SINK)


@pytest.mark.parametrize("form", RecordFormat)
def test_record_that_is_too_long_ends_it_with_its_length(pair: Pair, form: RecordFormat) -> None:
    channel, _ = pair
    pump = RecordPump(lambda max_bytes: bytes(1000).replace(b"\0", b"x"), channel, RecordSplitter(form))
    while pump.step() is not Wants.NOTHING:
        pass
    assert pump.max_record_bytes < pump.too_long <= pump.max_record_bytes + 1000
    assert pump.sink_error is None


def test_complete_record_that_is_too_long_leaves_those_before_it_sent(pair: Pair) -> None:
    channel, far = pair
    long = b"x" * (channel.max_record_bytes() + 1)
    pump = pump_of(channel, b"fits\n" + long + b"\nnever")
    assert pump.step() is Wants.NOTHING
    assert (far.recv(100), pump.too_long) == (b"fits", len(long))


def test_peer_that_left_is_the_sinks_error_and_the_rest_is_held(pair: Pair) -> None:
    channel, far = pair
    far.close()
    pump = pump_of(channel, b"a\nbc\nd")
    assert pump.step() is Wants.NOTHING
    assert isinstance(pump.sink_error, BrokenPipeError)
    assert pump.held == 4
    assert pump.release() == b"a\nbc\nd"
    assert pump.held == 0


def test_source_that_fails_is_the_sources_error(pair: Pair) -> None:
    def fail(max_bytes: int) -> bytes:
        raise OSError(21, os.strerror(21))

    pump = RecordPump(fail, pair[0], RecordSplitter(RecordFormat.LINES))
    assert pump.step() is Wants.NOTHING
    assert pump.source_error is not None


def test_received_records_are_framed_and_joined_up_to_a_size(pair: Pair) -> None:
    channel, far = pair
    records = FramedRecords(channel, lambda record: frame(record, RecordFormat.LINES))
    assert records.try_receive(100) is None
    for record in (b"a", b"", b"b\n", b"c" * 100, b"d"):
        far.send(record)
    assert records.try_receive(50) == b"a\n\nb\n" + b"c" * 100 + b"\n"
    assert records.try_receive(50) == b"d\n"
    far.close()
    assert records.try_receive(50) == b""
    assert records.try_receive(50) == b""


def test_empty_records_without_a_frame_are_not_the_end(pair: Pair) -> None:
    channel, far = pair
    records = FramedRecords(channel, lambda record: frame(record, RecordFormat.RAW))
    far.send(b"")
    assert records.try_receive(50) is None
    far.send(b"x")
    assert records.try_receive(50) == b"x"


def test_records_before_a_reset_are_received_before_it(pair: Pair) -> None:
    channel, far = pair
    channel.try_send_record(b"unread")
    far.send(b"last")
    far.close()
    records = FramedRecords(channel, lambda record: record)
    assert records.try_receive(50) == b"last"
    with pytest.raises(ConnectionResetError):
        records.try_receive(50)
