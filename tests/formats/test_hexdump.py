"""Rows of sixteen bytes, made in blocks: each is what a row made by itself would be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.hexdump import Hexdump

COUNTING = bytes(range(256)) * 1024


def row_by_row(data: bytes) -> bytes:
    """The plain definition."""
    rows = []
    for begin in range(0, len(data), 16):
        piece = data[begin : begin + 16]
        digits = [f"{byte:02x}" for byte in piece]
        readable = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
        shown = " ".join(digits[:8]) + "  " + " ".join(digits[8:])
        rows.append(f" > {begin:08x}  {shown:<48}  {readable}\n")
    return "".join(rows).encode("ascii")


def read_back(rows: bytes) -> bytes:
    return b"".join(bytes.fromhex(row[13:61].decode("ascii")) for row in rows.splitlines())


def test_a_row_is_as_documented() -> None:
    assert Hexdump().render(b"HTTP/1.1 200 OK\r") == (
        b" > 00000000  48 54 54 50 2f 31 2e 31  20 32 30 30 20 4f 4b 0d  HTTP/1.1 200 OK.\n"
    )


def test_a_last_row_that_is_not_full_keeps_its_columns() -> None:
    assert Hexdump().render(b"ab", "<") == b" < 00000000  61 62" + b" " * 45 + b"ab\n"


def test_of_nothing_there_is_no_row() -> None:
    assert Hexdump().render(b"") == b""


@given(st.binary(max_size=300))
def test_rows_are_those_of_the_plain_definition(data: bytes) -> None:
    assert Hexdump().render(data) == row_by_row(data)


@pytest.mark.parametrize("length", [1 << 15, (1 << 15) + 16, (1 << 16) - 1, 1 << 16, (1 << 16) + 17, 200_003])
def test_many_bytes_are_shown_like_few(length: int) -> None:
    assert Hexdump().render(COUNTING[:length]) == row_by_row(COUNTING[:length])


def test_rows_of_one_message_leave_no_trace_in_those_of_the_next() -> None:
    hexdump = Hexdump()
    hexdump.render(COUNTING, "<")
    assert hexdump.render(COUNTING[:1000]) == row_by_row(COUNTING[:1000])


@given(st.binary(max_size=300))
def test_bytes_can_be_read_back(data: bytes) -> None:
    assert read_back(Hexdump().render(data)) == data


@pytest.mark.parametrize("length", [5, 1000, 70_000])
def test_colour_adds_nothing_but_colour(length: int) -> None:
    coloured = Hexdump(colour=True)
    coloured.render(COUNTING, "<", "95")
    shown = coloured.render(COUNTING[:length], ">", "36")
    assert all(re.match(rb"\x1b\[36m > [0-9a-f]{8}\x1b\[m  ", row) for row in shown.splitlines())
    assert re.sub(rb"\x1b\[\d*m", b"", shown) == row_by_row(COUNTING[:length])


def test_parts_are_the_rows_before_they_are_joined() -> None:
    hexdump = Hexdump()
    assert b"".join(hexdump.parts(COUNTING)) == hexdump.render(COUNTING)
