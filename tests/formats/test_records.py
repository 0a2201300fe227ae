"""Records to bytes and back, whatever the pieces in which the bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.records import RecordFormat, RecordSplitter, frame

PIECES = st.lists(st.text("ab\n\0", max_size=6).map(str.encode), max_size=12)


def split(pieces: list[bytes], form: RecordFormat) -> list[bytes]:
    splitter = RecordSplitter(form)
    return [record for piece in pieces for record in splitter.feed(piece)] + splitter.finish()


@pytest.mark.parametrize(
    ("form", "data", "records"),
    [
        (RecordFormat.LINES, b"one\n\ntwo", [b"one", b"", b"two"]),
        (RecordFormat.LINES, b"one\n", [b"one"]),
        (RecordFormat.LINES, b"", []),
        (RecordFormat.NULL, b"a\nb\0\0c", [b"a\nb", b"", b"c"]),
        (RecordFormat.RAW, b"a\nb\0", [b"a\nb\0"]),
        (RecordFormat.RAW, b"", [b""]),
    ],
)
def test_records_are_what_stands_between_the_separators(
    form: RecordFormat, data: bytes, records: list[bytes]
) -> None:
    assert split([data], form) == records


@given(PIECES, st.sampled_from(RecordFormat))
def test_pieces_do_not_matter(pieces: list[bytes], form: RecordFormat) -> None:
    assert split(pieces, form) == split([b"".join(pieces)], form)


@given(PIECES, st.sampled_from([RecordFormat.LINES, RecordFormat.NULL]))
def test_held_bytes_are_those_of_the_unfinished_record(pieces: list[bytes], form: RecordFormat) -> None:
    splitter = RecordSplitter(form)
    for piece in pieces:
        splitter.feed(piece)
    assert splitter.held == len(b"".join(pieces).rpartition(form.value)[2])


@given(PIECES, st.binary(max_size=3), st.sampled_from([RecordFormat.LINES, RecordFormat.NULL]))
def test_what_is_put_back_splits_again_into_the_same(
    pieces: list[bytes], unfinished: bytes, form: RecordFormat
) -> None:
    splitter = RecordSplitter(form)
    records = splitter.feed(b"".join(pieces) + unfinished)
    again = splitter.put_back(records)
    assert (again, splitter.held) == (b"".join(pieces) + unfinished, 0)


def test_raw_bytes_are_put_back_as_they_were_held() -> None:
    splitter = RecordSplitter(RecordFormat.RAW)
    splitter.feed(b"a\n")
    splitter.feed(b"b")
    assert splitter.put_back([]) == b"a\nb"


@pytest.mark.parametrize(
    ("record", "form", "framed"),
    [
        (b"a", RecordFormat.LINES, b"a\n"),
        (b"a\n", RecordFormat.LINES, b"a\n"),
        (b"", RecordFormat.LINES, b"\n"),
        (b"a\n", RecordFormat.NULL, b"a\n\0"),
        (b"", RecordFormat.NULL, b"\0"),
        (b"a", RecordFormat.RAW, b"a"),
        (b"", RecordFormat.RAW, b""),
    ],
)
def test_record_is_written_with_what_ends_it(record: bytes, form: RecordFormat, framed: bytes) -> None:
    assert frame(record, form) == framed
