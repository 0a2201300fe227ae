"""A table of sentences: whole at any width."""

from __future__ import annotations

import re

import pytest

from afunix.formats.columns import display_width
from afunix.formats.whole_table import render

TITLES = ("", "Unix", "TCP")
ROWS = [
    ("connect, non-blocking, to a full queue", "EAGAIN", "EINPROGRESS"),
    (
        "bind again after the server closed first",
        "EADDRINUSE, until the file is unlinked",
        "EADDRINUSE, for a minute",
    ),
]


def rows_of(width: int | None) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in render(TITLES, ROWS, width=width)]


def test_what_fits_is_one_line_a_row() -> None:
    assert rows_of(None) == rows_of(200)
    assert len(rows_of(200)) == 3


@pytest.mark.parametrize("width", [20, 30, 40, 49, 50, 60, 80, 100])
def test_nothing_is_cut_and_no_line_is_too_wide(width: int) -> None:
    rows = rows_of(width)
    assert max(map(display_width, rows)) <= width
    assert "…" not in "".join(rows)
    words = sorted(re.findall(r"[\w-]+", " ".join(cell for row in ROWS for cell in row)))
    shown = re.findall(r"[\w-]+", " ".join(rows))
    assert sorted(word for word in shown if word not in TITLES) == words


def test_a_cell_that_is_too_wide_goes_on_below() -> None:
    assert rows_of(70)[1:3] == [
        "connect, non-blocking,  EAGAIN                  EINPROGRESS",
        "to a full queue",
    ]


def test_on_a_narrow_terminal_a_row_is_a_paragraph() -> None:
    assert rows_of(40)[:4] == [
        "connect, non-blocking, to a full queue",
        "Unix  EAGAIN",
        "TCP  EINPROGRESS",
        "",
    ]


def test_a_cell_has_the_style_that_it_is_given() -> None:
    for width in (20, 80):
        lines = render(("FILE", ""), [("a", "DIFFERENT")], width=width, style_of=lambda title, cell: cell[:4])
        assert ("DIFFERENT", "DIFF") in [span for line in lines for span in line]


def test_without_rows_there_are_titles() -> None:
    assert rows_of(None)[0].split() == ["Unix", "TCP"]
    assert [text for line in render(("A",), [], width=20) for text, _ in line] == ["A"]
