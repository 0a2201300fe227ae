"""tap --hex: lines and hexdumps."""

from __future__ import annotations

from afunix.formats.tap_hex import TapHex
from afunix.model.tapped import Beginning, Over, Said, SaidAll, Side

STREAM = Beginning("/run/app.sock", "stream", 0)
RECORDS = Beginning("/run/app.sock", "seqpacket", 0)


def said(data: bytes, side: Side = Side.CLIENT, connection: int = 1) -> Said:
    return Said(connection, 0.0, side, data)


def test_a_message_is_a_line_and_its_rows() -> None:
    assert TapHex(STREAM).render(said(b"hello", Side.SERVER)).decode().splitlines() == [
        "[1]   0.000000  client ← server  5 bytes",
        " < 00000000  68 65 6c 6c 6f" + " " * 36 + "hello",
    ]


def test_other_events_are_their_line() -> None:
    view = TapHex(STREAM)
    assert view.render(SaidAll(1, 0.0, Side.CLIENT)).endswith(b"half-closed\n")
    assert view.render(Over(1, 0.0)).endswith(b"closed\n")


def test_where_in_the_stream_a_message_begins_is_told_for_each_side() -> None:
    view = TapHex(STREAM)
    lines = [
        view.render(event).decode().splitlines()[0].partition("  ")[2].strip().partition("  ")[2]
        for event in (
            said(b"x" * 1500),
            said(b"y", Side.SERVER),
            said(b"z"),
            said(b"z", Side.SERVER),
            said(b"a", connection=2),
        )
    ]
    assert lines == [
        "client → server  1,500 bytes",
        "client ← server  1 byte",
        "client → server  1 byte at 1,500",
        "client ← server  1 byte at 1",
        "client → server  1 byte",
    ]


def test_records_have_no_position() -> None:
    view = TapHex(RECORDS)
    assert view.render(said(b"x")) == view.render(said(b"x"))


def test_positions_are_forgotten_with_their_connection() -> None:
    view = TapHex(STREAM)
    first = view.render(said(b"x"))
    view.render(Over(1, 0.0))
    assert view.render(said(b"x")) == first


def test_of_a_long_message_the_beginning_is_shown_and_the_rest_counted() -> None:
    lines = TapHex(STREAM, max_bytes=16).render(said(b"x" * 1250)).decode().splitlines()
    assert lines[0].endswith("1,250 bytes") and lines[1].endswith("x" * 16)
    assert lines[2:] == [" > … 1,234 more bytes"]
    assert len(TapHex(STREAM, max_bytes=16).render(said(b"x" * 16)).splitlines()) == 2


def test_without_bytes_there_is_only_the_line() -> None:
    assert TapHex(STREAM, max_bytes=0).render(said(b"x" * 99)).count(b"\n") == 1
    assert TapHex(STREAM).render(said(b"")).count(b"\n") == 1


def test_rows_have_their_connections_colour() -> None:
    shown = TapHex(STREAM, colour=True).render(said(b"x" * 200, connection=2)).splitlines()
    assert all(row.startswith(b"\x1b[33m > ") for row in shown[1:]) and len(shown) == 14
