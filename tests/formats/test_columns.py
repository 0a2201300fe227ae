"""Columns stand under each other, and no line is wider than the terminal."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.columns import Column, Line, display_width, fit, is_comfortable, render, shorten
from afunix.model.escaping import escape

COLUMNS = (Column("STATE"), Column("ADDRESS", least=4, first_to=10), Column("WHO", least=4), Column("N"))

CELL = st.text(max_size=40).map(escape)
LINES = st.lists(st.tuples(CELL, CELL, CELL, CELL).map(Line), max_size=6)


@given(LINES, st.integers(0, 200))
def test_no_line_is_wider_than_the_terminal(lines: list[Line], width: int) -> None:
    assert all(display_width(text) <= width for text in render(COLUMNS, lines, width=width))


@given(LINES, st.integers(0, 200))
def test_colour_changes_nothing_but_colour(lines: list[Line], width: int) -> None:
    coloured = [Line(line.cells, ("red",) * 4) for line in lines]
    plain = render(COLUMNS, lines, width=width)
    painted = render(COLUMNS, coloured, width=width, paint={"red": "31"})
    assert [text.replace("\x1b[31m", "").replace("\x1b[0m", "") for text in painted] == plain


@given(LINES)
def test_without_a_terminal_every_cell_is_whole(lines: list[Line]) -> None:
    for line, text in zip(lines, render(COLUMNS, lines)[1:], strict=True):
        assert all(cell.rstrip() in text for cell in line.cells)


def test_columns_stand_under_each_other() -> None:
    lines = [Line(("a", "日本", "x", "1")), Line(("bb", "e\u0301", "y", "22"))]
    assert render(COLUMNS, lines) == [
        "STATE  ADDRESS  WHO  N",
        "a      日本     x    1",
        "bb     e\u0301        y    22",
    ]


def test_a_line_has_no_spaces_at_its_end() -> None:
    assert render(COLUMNS, [Line(("a", "", "", ""))])[1] == "a"
    assert (
        render(COLUMNS, [Line(("a", "", "", ""), ("red",) * 4)], paint={"red": "31"})[1] == "\x1b[31ma\x1b[0m"
    )


def test_a_cell_of_spaces_has_no_colour() -> None:
    assert render((Column("A"), Column("B")), [Line(("x", " "), ("red",) * 2)], paint={"red": "31"})[1] == (
        "\x1b[31mx\x1b[0m"
    )


def test_a_style_that_has_no_paint_is_plain() -> None:
    assert render((Column("A"),), [Line(("x",), ("odd",))], paint={"red": "31"})[1] == "x"


def test_the_column_that_is_first_to_gives_way_until_it_has_given_enough() -> None:
    assert fit(COLUMNS, [5, 40, 30, 2], 60) == [5, 17, 30, 2]
    assert fit(COLUMNS, [5, 40, 30, 2], 50) == [5, 10, 27, 2]


def test_then_the_widest_give_way_together_down_to_their_least() -> None:
    assert fit(COLUMNS, [5, 40, 30, 2], 30) == [5, 8, 9, 2]
    assert fit(COLUMNS, [5, 40, 30, 2], 3) == [5, 4, 4, 2]


def test_nothing_gives_way_where_there_is_room() -> None:
    assert fit(COLUMNS, [5, 40, 30, 2], None) == fit(COLUMNS, [5, 40, 30, 2], 83) == [5, 40, 30, 2]


def test_comfort_ends_where_more_than_the_first_column_has_to_give_way() -> None:
    lines = [Line(("state", "a" * 40, "b" * 30, "12"))]
    assert is_comfortable(COLUMNS, lines, 53)
    assert not is_comfortable(COLUMNS, lines, 52)


def test_a_line_that_cannot_be_narrow_enough_loses_its_end() -> None:
    assert render(COLUMNS, [Line(("state", "address", "name", "1"))], width=8)[1] == "state  …"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("/run/app.sock", 13, "/run/app.sock"),
        ("/run/app.sock", 9, "/r…p.sock"),
        ("/run/app.sock", 2, "…k"),
        ("/run/app.sock", 1, "…"),
        ("/run/app.sock", 0, ""),
        ("日本語日本語", 7, "日…本語"),
    ],
)
def test_the_middle_is_left_out_and_more_of_the_end_is_kept(text: str, width: int, shown: str) -> None:
    assert shorten(text, width) == shown


@given(st.text().map(escape), st.integers(0, 30))
def test_what_is_shortened_fits(text: str, width: int) -> None:
    assert display_width(shorten(text, width)) <= width


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("abc", 3),
        ("日本", 4),
        ("e\u0301", 1),
        ("😀", 2),
        ("\u200b", 0),
        ("\u00ad", 1),
        ("שלום\u200e", 4),
        ("→", 1),
    ],
)
def test_width_is_what_a_terminal_takes(text: str, width: int) -> None:
    assert display_width(text) == width


@given(st.text(max_size=50))
def test_a_text_is_never_wider_than_two_cells_a_character(text: str) -> None:
    assert (
        0 <= display_width(unicodedata.normalize("NFD", text)) <= 2 * len(unicodedata.normalize("NFD", text))
    )


def test_ten_thousand_rows_take_no_time_to_speak_of() -> None:
    lines = [Line(("connected", f"/run/app-{n % 7}.sock", f"root app[{n}]:5", "0")) for n in range(10_000)]
    started = time.perf_counter()
    render(COLUMNS, lines, width=200)
    assert time.perf_counter() - started < 1.0  # some 10 ms; a machine may be busy
