"""Records of seqpacket connections to the output, each whole, by real sockets."""

from __future__ import annotations

import os
import socket
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.collecting import Piped, collecting_to_a_pipe

from afunix.formats.label import Sender
from afunix.model.framing import PieceEnd
from afunix.sinks.records import BATCH, RecordCollector, Records


def show(sender: Sender | None, record: bytes, now: float) -> bytes:
    return b"[%s]" % record


def show_sender(sender: Sender | None, record: bytes, now: float) -> bytes:
    assert sender is not None
    return f"{sender.connection} {sender.pid} {sender.uid} ".encode() + record + b"\n"


def keep_records(piped: Piped, frame: Any = show, needs_sender: bool = False, escapes: bool = False) -> None:
    piped.collector.framing = Records(
        frame, piped.collector.put_raw, needs_sender=needs_sender, escapes=escapes
    )


def test_records_come_out_each_whole_and_empty_ones_too() -> None:
    with collecting_to_a_pipe(collector=RecordCollector) as piped:
        keep_records(piped)
        ana = piped.join(socket.SOCK_SEQPACKET)
        for record in (b"one", b"", b"two"):
            ana.say(record)
        piped.settle()
        assert piped.out == b"[one][][two]"
        assert piped.finished == []


def test_long_record_is_not_cut() -> None:
    with collecting_to_a_pipe(collector=RecordCollector) as piped:
        keep_records(piped)
        ana = piped.join(socket.SOCK_SEQPACKET)
        ana.say(b"x" * 500_000)
        piped.settle()
        assert piped.out == b"[" + b"x" * 500_000 + b"]"


def test_end_is_told_from_an_empty_record() -> None:
    with collecting_to_a_pipe(collector=RecordCollector) as piped:
        keep_records(piped)
        ana = piped.join(socket.SOCK_SEQPACKET)
        ana.say(b"")
        ana.sock.close()
        piped.settle()
        assert piped.out == b"[]"
        assert piped.finished == [(1, PieceEnd.EOF)]


def test_reset_is_told() -> None:
    with collecting_to_a_pipe(collector=RecordCollector) as piped:
        keep_records(piped)
        ana = piped.join(socket.SOCK_SEQPACKET)
        ana.say(b"one")
        ana.channel.socket.send(b"never read")
        ana.sock.close()
        piped.settle()
        assert piped.out == b"[one]"
        assert piped.finished == [(1, PieceEnd.RESET)]


def test_one_with_many_records_leaves_others_their_turn() -> None:
    with collecting_to_a_pipe(collector=RecordCollector) as piped:
        keep_records(piped)
        ana, bo = piped.join(socket.SOCK_SEQPACKET), piped.join(socket.SOCK_SEQPACKET)
        for _ in range(3 * BATCH):
            ana.say(b"a")
        bo.say(b"b")
        piped.settle()
        assert piped.out.index(b"[b]") <= 3 * BATCH
        assert piped.out.count(b"[a]") == 3 * BATCH


def test_sender_is_known_to_the_frame() -> None:
    with collecting_to_a_pipe(collector=RecordCollector) as piped:
        keep_records(piped, show_sender, needs_sender=True)
        piped.join(socket.SOCK_SEQPACKET).say(b"hi")
        piped.settle()
        assert piped.out == f"1 {os.getpid()} {os.getuid()} hi\n".encode()


def test_record_is_escaped_as_a_whole() -> None:
    with collecting_to_a_pipe(collector=RecordCollector) as piped:
        keep_records(piped, escapes=True)
        ana = piped.join(socket.SOCK_SEQPACKET)
        ana.say(b"\x1b\xe2")
        ana.say(b"\x82")
        piped.settle()
        assert piped.out == rb"[^[\xe2][\x82]"


@settings(derandomize=True, database=None, deadline=None, max_examples=40)
@given(
    records=st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=3000)), max_size=30),
    pipe_bytes=st.sampled_from([4096, None]),
)
def test_no_record_is_lost_or_joined_whatever_the_pipe(
    records: list[tuple[int, bytes]], pipe_bytes: int | None
) -> None:
    with collecting_to_a_pipe(pipe_bytes, collector=RecordCollector) as piped:
        keep_records(piped, lambda sender, record, now: record.hex().encode() + b"\n")
        guests = [piped.join(socket.SOCK_SEQPACKET) for _ in range(2)]
        for index, record in records:
            guests[index].say(record)
            piped.settle()
        assert [bytes.fromhex(line.decode()) for line in bytes(piped.out).splitlines()] == [
            record for _, record in records
        ]
