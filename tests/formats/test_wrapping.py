"""Text is wrapped where a reader would, nothing of it is lost, and no line is too wide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.columns import display_width
from afunix.formats.wrapping import wrap, wrap_clauses
from afunix.model.escaping import escape


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("short", 10, ["short"]),
        ("", 10, [""]),
        ("exactly ten", 11, ["exactly ten"]),
        ("one two three", 8, ["one two", "  three"]),
        ('connect(4, "/run/app.sock") = -1 ECONNREFUSED', 36, ['connect(4, "/run/app.sock")', "  = -1 ECONNREFUSED"]),
        ("read(3) = 4096", 13, ["read(3)", "  = 4096"]),
        ("/a/very/long/path/name", 14, ["/a/very/long/", "  path/name"]),
        ("abcdefghij", 4, ["abcd", "  ef", "  gh", "  ij"]),
        ("漢字漢字", 5, ["漢字", "  漢", "  字"]),
        ("漢", 1, ["漢"]),
        ("e\u0301e\u0301e\u0301", 2, ["e\u0301e\u0301", "e\u0301"]),
        ("abcdefghij, 5", 10, ["abcdefghi", "  j, 5"]),
        ("f(abcdefgh), x", 11, ["f(abcdefg", "  h), x"]),
        ("two  spaces are kept", 12, ["two  spaces", "  are kept"]),
    ],
)  # fmt: skip
def test_lines_break_where_a_reader_would_break_them(text: str, width: int, lines: list[str]) -> None:
    assert wrap(text, width, indent=2) == lines


@given(st.text().map(escape), st.integers(1, 40), st.integers(0, 3))
def test_nothing_but_spaces_is_lost(text: str, width: int, indent: int) -> None:
    assert "".join(wrap(text, width, indent)).replace(" ", "") == text.replace(" ", "")


@given(st.text().map(escape), st.integers(2, 40), st.integers(0, 3))
def test_no_line_is_wider_than_asked_for(text: str, width: int, indent: int) -> None:
    assert max(map(display_width, wrap(text, width, indent))) <= max(width, 2 + indent)


def test_the_measure_may_be_another_than_cells() -> None:
    assert wrap("abcdef", 30, measure=lambda _: 10.0) == ["abc", "def"]


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 10, [""]),
        ("serve a, and connect a", 30, ["serve a, and connect a"]),
        ("serve a, and connect a", 20, ["serve a,", "and connect a"]),
        ("one, two, three; four", 12, ["one, two,", "three; four"]),
        ("a clause too long, short", 10, ["a clause", "too long,", "short"]),
        ("1,000 bytes in", 8, ["1,000", "bytes in"]),
    ],
)
def test_titles_break_between_clauses(text: str, width: int, lines: list[str]) -> None:
    assert wrap_clauses(text, width) == lines


@given(st.text().map(escape), st.integers(1, 40))
def test_nothing_but_spaces_is_lost_of_a_title(text: str, width: int) -> None:
    assert "".join(wrap_clauses(text, width)).replace(" ", "") == text.replace(" ", "")
