"""A canvas gives back what was drawn on it, as spans that are as long as their style is one."""

from __future__ import annotations

from afunix.formats.canvas import Canvas, Line


def drawn(*texts: tuple[int, str, str]) -> Line:
    canvas = Canvas()
    canvas.add_row()
    for column, text, style in texts:
        canvas.put(column, text, style)
    return canvas.lines()[0]


def test_neighbours_of_one_style_are_one_span() -> None:
    assert drawn((0, "ab", "call"), (2, "cd", "call"), (4, "e", "time")) == [("abcd", "call"), ("e", "time")]


def test_what_is_between_is_space_without_a_style() -> None:
    assert drawn((2, "a", "call"), (4, "b", "call")) == [("  ", ""), ("a", "call"), (" ", ""), ("b", "call")]


def test_the_later_text_is_seen() -> None:
    assert drawn((0, "─────", "arrow"), (1, " 6 ", "call")) == [
        ("─", "arrow"),
        (" 6 ", "call"),
        ("─", "arrow"),
    ]


def test_space_at_the_end_is_dropped() -> None:
    assert drawn((0, "a   ", "call"), (9, " ", "")) == [("a", "call")]


def test_a_wide_character_takes_two_cells() -> None:
    assert drawn((0, "漢", "call"), (2, "b", "call")) == [("漢b", "call")]


def test_a_combining_character_stays_with_its_letter() -> None:
    assert drawn((0, "e\u0301x", "call")) == [("e\u0301x", "call")]


def test_an_empty_row_is_an_empty_line() -> None:
    assert drawn() == []
