"""From options to framings: what each set of options makes of the same bytes."""

from __future__ import annotations

import json
import os
import socket

import pytest
from tests.collecting import collecting_to_a_pipe

from afunix.formats.jsonl import read_piece
from afunix.formats.label import Label
from afunix.formats.records import RecordFormat
from afunix.sinks.records import RecordCollector
from afunix.tools.presentation import Presentation, record_frame, record_framing, stream_framing

LABEL = Label("{connection}|")


def shown(wanted: Presentation, *said: bytes) -> bytes:
    """What comes out when one client says this and leaves."""
    with collecting_to_a_pipe() as piped:
        piped.collector.framing = stream_framing(
            wanted, piped.collector, splices=True, on_open=lambda client, size: None
        )
        guest = piped.join()
        for data in said:
            guest.say(data)
            piped.settle()
        guest.sock.close()
        piped.settle()
        return bytes(piped.out)


@pytest.mark.parametrize(
    ("wanted", "out"),
    [
        (Presentation(), b"a\x1b\nb"),
        (Presentation(raw=True), b"a\x1b\nb"),
        (Presentation(escapes=True), b"a^[\nb"),
        (Presentation(raw=True, escapes=True), b"a^[\nb"),
        (Presentation(label=LABEL), b"1|a\x1b\n1|b\n"),
        (Presentation(label=LABEL, escapes=True), b"1|a^[\n1|b\n"),
        (Presentation(label=LABEL, max_line=1), b"1|a\n1|\x1b\n1|\n1|b\n1|\n"),
    ],
)
def test_stream_is_shown_as_asked(wanted: Presentation, out: bytes) -> None:
    if wanted.max_line == 1:
        assert shown(wanted, b"a\x1b\nb").replace(b"1|\n", b"") == b"1|a\n1|\x1b\n1|b\n"
    else:
        assert shown(wanted, b"a\x1b\nb") == out


def test_json_is_reversible() -> None:
    out = shown(Presentation(json=True), b"a\x1b\n\xff")
    assert b"".join(map(read_piece, out.splitlines())) == b"a\x1b\n\xff"
    assert json.loads(out.splitlines()[0])["pid"] == os.getpid()


def test_plain_line_is_held_and_a_raw_one_is_not() -> None:
    for wanted, first in ((Presentation(), b""), (Presentation(raw=True), b"unfinished")):
        with collecting_to_a_pipe() as piped:
            piped.collector.framing = stream_framing(
                wanted, piped.collector, splices=True, on_open=lambda client, size: None
            )
            piped.join().say(b"unfinished")
            piped.settle()
            assert piped.out == first


@pytest.mark.parametrize(
    ("wanted", "can_splice"),
    [
        (Presentation(), True),
        (Presentation(raw=True), True),
        (Presentation(json=True), False),
        (Presentation(label=LABEL), False),
        (Presentation(escapes=True), False),
    ],
)
def test_only_plain_bytes_are_spliced_and_only_if_allowed(wanted: Presentation, can_splice: bool) -> None:
    with collecting_to_a_pipe() as piped:
        for splices in (True, False):
            framing = stream_framing(
                wanted, piped.collector, splices=splices, on_open=lambda client, size: None
            )
            assert framing.can_splice is (can_splice and splices)


def test_line_that_is_let_out_is_told_of_its_client() -> None:
    told: list[tuple[int, int]] = []
    for wanted in (Presentation(max_line=4), Presentation(max_line=4, label=LABEL)):
        with collecting_to_a_pipe() as piped:
            piped.collector.framing = stream_framing(
                wanted,
                piped.collector,
                splices=True,
                on_open=lambda client, size: told.append((client.channel.connection, size)),
            )
            piped.join().say(b"12345")
            piped.settle()
    assert told == [(1, 5), (1, 4)]


@pytest.mark.parametrize(
    ("wanted", "out"),
    [
        (Presentation(), b"one\n\ntwo\n"),
        (Presentation(null=True), b"one\0\0two\n\0"),
        (Presentation(raw=True), b"onetwo\n"),
        (Presentation(label=LABEL), b"1|one\n1|\n1|two\n"),
        (Presentation(label=LABEL, null=True), b"1|one\x001|\x001|two\n\x00"),
        (Presentation(escapes=True), b"one\n\ntwo\n"),
    ],
)
def test_records_are_shown_as_asked(wanted: Presentation, out: bytes) -> None:
    with collecting_to_a_pipe(collector=RecordCollector) as piped:
        piped.collector.framing = record_framing(wanted, piped.collector)
        guest = piped.join(socket.SOCK_SEQPACKET)
        for record in (b"one", b"", b"two\n"):
            guest.say(record)
        piped.settle()
        assert piped.out == out


def test_record_of_nobody_known_can_be_shown_too() -> None:
    piece = json.loads(record_frame(Presentation(json=True))(None, b"hi\n", 0.0))
    assert (piece["pid"], piece["data"], piece["end"]) == (None, "hi\n", "record")
    assert record_frame(Presentation(label=LABEL))(None, b"hi", 0.0) == b"?|hi\n"


def test_format_of_records_follows_the_options() -> None:
    formats = [Presentation().record_format, Presentation(null=True).record_format]
    assert [*formats, Presentation(raw=True).record_format] == [
        RecordFormat.LINES,
        RecordFormat.NULL,
        RecordFormat.RAW,
    ]


def test_only_labels_and_json_need_to_know_who_it_was() -> None:
    assert not Presentation(raw=True).needs_sender
    assert Presentation(json=True).needs_sender
    assert Presentation(label=LABEL).needs_sender
