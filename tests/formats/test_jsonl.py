"""--json: one ASCII object a line, out of which the bytes come back."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.jsonl import read_piece, render_piece
from afunix.formats.label import Sender
from afunix.model.framing import Line, PieceEnd, PieceRules

ANA = Sender(connection=3, pid=4121, uid=1000, gid=100, user="ana", comm="afunix")
NOBODY = Sender(connection=None, pid=None, uid=None, gid=None, user=None, comm=None)
KEYS = ["time", "connection", "pid", "uid", "gid", "user", "comm", "data", "end"]
DATA = st.one_of(st.binary(), st.text().map(str.encode))


@given(DATA, st.sampled_from(PieceEnd))
def test_the_bytes_come_back(data: bytes, end: PieceEnd) -> None:
    line = render_piece(ANA, data, end, 0)
    assert read_piece(line) == data + (b"\n" if end is PieceEnd.NEWLINE else b"")


@given(st.lists(DATA), st.integers(1, 9))
def test_a_whole_conversation_comes_back(chunks: list[bytes], max_line: int) -> None:
    rules, line = PieceRules(max_line), Line()
    pieces = [piece for chunk in chunks for piece in rules.cut(line, chunk)]
    pieces += rules.finish(line, PieceEnd.EOF)
    written = b"".join(render_piece(ANA, data, end, 0) for data, end in pieces)
    assert b"".join(map(read_piece, written.splitlines())) == b"".join(chunks)


@given(DATA, st.text(), st.text())
def test_a_piece_is_one_line_of_ascii_that_any_json_reader_takes(data: bytes, user: str, comm: str) -> None:
    sender = Sender(1, 2, 3, 4, user, comm)
    line = render_piece(sender, data, PieceEnd.EOF, 0)
    assert line.isascii() and line.endswith(b"}\n") and line.count(b"\n") == 1
    json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8")


def test_a_line_is_written_as_documented() -> None:
    assert render_piece(ANA, b"hello", PieceEnd.NEWLINE, 1_769_860_800.000001) == (
        b'{"time": "2026-01-31T12:00:00.000001Z", "connection": 3, "pid": 4121, "uid": 1000, "gid": 100,'
        b' "user": "ana", "comm": "afunix", "data": "hello", "end": "newline"}\n'
    )


def test_what_is_not_known_is_null_and_every_key_is_there_in_its_order() -> None:
    piece = json.loads(render_piece(NOBODY, b"", PieceEnd.RECORD, 0))
    assert list(piece) == KEYS
    assert [key for key, value in piece.items() if value is None] == KEYS[1:7]


@pytest.mark.parametrize("data", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"a\0\xfe"])
def test_what_is_not_utf8_is_base64(data: bytes) -> None:
    piece = json.loads(render_piece(ANA, data, PieceEnd.EOF, 0))
    assert base64.b64decode(piece["data_base64"]) == data
    assert list(piece) == [*KEYS[:-2], "data_base64", "end"]


@pytest.mark.parametrize(
    ("end", "word"),
    [*zip(PieceEnd, ["newline", "eof", "reset", "max-line", "record"], strict=True)],
)
def test_a_piece_says_how_it_ended(end: PieceEnd, word: str) -> None:
    assert json.loads(render_piece(ANA, b"x", end, 0))["end"] == word


def test_a_name_that_is_no_text_is_escaped() -> None:
    sender = Sender(1, 2, 3, 4, None, "\udcff\x1b")
    assert json.loads(render_piece(sender, b"", PieceEnd.EOF, 0))["comm"] == "\\xff^["
