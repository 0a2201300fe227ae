"""Bytes that were put back come out in their order, in any portions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.kernel.put_back import PutBack


def test_bytes_are_taken_from_the_front_until_none_are_left() -> None:
    bytes_back = PutBack(b"abcde")
    assert (bytes_back.take(2), len(bytes_back)) == (b"ab", 3)
    assert (bytes_back.take(10), len(bytes_back), bool(bytes_back)) == (b"cde", 0, False)
    assert bytes_back.take(1) == b""


def test_what_is_put_back_later_comes_first() -> None:
    bytes_back = PutBack(b"cdef")
    bytes_back.take(1)
    bytes_back.put(b"bc")
    assert (len(bytes_back), bytes_back.take(10)) == (5, b"bcdef")


def test_putting_back_what_was_just_taken_copies_nothing() -> None:
    bytes_back = PutBack(b"abcdef")
    whole = bytes_back._bytes
    bytes_back.put(bytes_back.take(4)[1:])
    assert (bytes_back._bytes is whole, bytes_back.take(10)) == (True, b"bcdef")
    bytes_back.put(b"xy")
    assert bytes_back.take(10) == b"xy"


def test_the_end_is_shown_and_stays() -> None:
    bytes_back = PutBack(b"abcdef")
    bytes_back.take(3)
    assert [bytes_back.end(count) for count in (0, 2, 9)] == [b"", b"ef", b"def"]
    assert len(bytes_back) == 3


def test_a_separator_is_found_relative_to_what_is_left() -> None:
    bytes_back = PutBack(b"a\nbb\nc")
    assert bytes_back.find(b"\n") == 1
    bytes_back.take(2)
    assert (bytes_back.find(b"\n"), bytes_back.find(b"\n", 2), bytes_back.find(b"\n", 3)) == (2, 2, -1)
    assert bytes_back.find(b"a") == -1


@pytest.mark.parametrize("taken", [0, 3])
@pytest.mark.parametrize("size", [1, 65_535, 65_536, 200_000])
def test_what_is_appended_comes_last(size: int, taken: int) -> None:
    first = bytes(range(256)) * (size // 256 + 1)
    bytes_back = PutBack(first)
    expected = first[len(bytes_back.take(taken)) :] + b"one\ntwo"
    bytes_back.append(b"one\n")
    bytes_back.append(b"two")
    assert (len(bytes_back), bytes_back.find(b"\ntwo")) == (len(expected), len(expected) - 4)
    piece = bytes_back.take(5)
    bytes_back.put(piece)
    assert type(piece) is bytes
    assert bytes_back.take(len(expected)) == expected


@given(st.binary(max_size=60), st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9))))
def test_taking_and_putting_back_loses_and_doubles_nothing(data: bytes, moves: list[tuple[int, int]]) -> None:
    bytes_back, taken = PutBack(data), b""
    for take, give in moves:
        taken += bytes_back.take(take)
        give = min(give, len(taken))
        bytes_back.put(taken[len(taken) - give :])
        taken = taken[: len(taken) - give]
    assert taken + bytes_back.take(100) == data
