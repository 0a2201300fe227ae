"""A table that is read and not scanned: whole at any width, a cell on several lines where it has to be. Pure.

Where even that leaves a column too narrow, each row becomes a paragraph: a title and its cell, one under another.
`formats.columns` is for lists, one line a row, which are cut. Texts come escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest

from .canvas import Line
from .columns import GAP, Column, display_width, fit, total_width
from .wrapping import wrap

_WORD = 16  # a column is made no narrower than its longest word, up to so many cells
_STACKED = 50  # below so many columns of terminal a table that does not fit is stacked

StyleOf = Callable[[str, str], str]
"""The style word of a cell, from the title of its column and its text."""


def render(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None,
    style_of: StyleOf = lambda title, cell: "",
) -> list[Line]:
    """The titles and the rows; `width` is the terminal's, None: as wide as it comes."""
    natural = [max(map(display_width, column)) for column in zip(titles, *rows, strict=True)]
    if width is None or total_width(natural) <= width:
        widths = natural
    else:
        least = [_longest_word(column) for column in zip(titles, *rows, strict=True)]
        if width < _STACKED or total_width(least) > width:
            return _stacked(titles, rows, width, style_of)
        widths = fit([Column("", floor) for floor in least], natural, width)
    lines = _row(titles, ["title"] * len(titles), widths)
    for row in rows:
        lines += _row(row, [style_of(title, cell) for title, cell in zip(titles, row, strict=True)], widths)
    return lines


def _longest_word(texts: Sequence[str]) -> int:
    return max(min(_WORD, max(map(display_width, text.split(" ")))) for text in texts)


def _row(cells: Sequence[str], styles: Sequence[str], widths: Sequence[int]) -> list[Line]:
    wrapped = [wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines: list[Line] = []
    for parts in zip_longest(*wrapped, fillvalue=""):
        line: Line = []
        for part, style, width in zip(parts, styles, widths, strict=True):
            line += [(part, style), (" " * (width - display_width(part)) + GAP, "")]
        lines.append(line[:-1])
    return lines


def _stacked(
    titles: Sequence[str], rows: Sequence[Sequence[str]], width: int, style_of: StyleOf
) -> list[Line]:
    lines: list[Line] = []
    for row in rows:
        lines += [[]] if lines else []
        for title, cell in zip(titles, row, strict=True):
            lines += _titled(title, cell, width, style_of(title, cell))
    return lines


def _titled(title: str, cell: str, width: int, style: str) -> list[Line]:
    """`title  cell` on one line if it fits, else the cell below; a cell without a title is one itself."""
    if not title:
        return [[(part, style or "title")] for part in wrap(cell, width)]
    if display_width(title + GAP + cell) <= width:
        return [[(title, "title"), (GAP, ""), (cell, style)]]
    below: list[Line] = [[(GAP, ""), (part, style)] for part in wrap(cell, width - len(GAP))]
    return [*([(part, "title")] for part in wrap(title, width)), *below]
