"""A table of text for a terminal: columns under each other, cut to its width, one line a row. Pure.

The rule: a line is never wider than the terminal. What does not fit is shortened in the middle with `…`, the
widest columns first, because both ends of a path tell more than its middle. Width is counted in the cells of a
terminal: a wide character (Chinese, most emoji) takes two, a combining one none.

Texts come escaped (`model.escaping`): nothing here looks for what a terminal would obey. A thousand rows are a
few milliseconds as long as they are ASCII and fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

GAP = "  "
_CUT = "…"
_REMEMBERED = 4096


class Column(NamedTuple):
    """A column's title, and to how many cells it may be shortened where the terminal is narrow; 0: not at all.

    `first_to`: so far it gives way before any other column does.
    """

    title: str
    least: int = 0
    first_to: int = 0


class Line(NamedTuple):
    """One row: a text for each column and, where it is to stand out, the style-word of each."""

    cells: tuple[str, ...]
    styles: tuple[str, ...] = ()


def render(
    columns: Sequence[Column],
    lines: Sequence[Line],
    *,
    width: int | None = None,
    paint: Mapping[str, str] | None = None,
) -> list[str]:
    """The title line and one for each of `lines`, without newlines and without spaces at the end.

    `width` is the terminal's, None: as wide as it comes. `paint` says what a style-word is to a terminal, as the
    parameters of SGR (`"31"`); a style that is not in it is not shown.
    """
    title = _title(columns)
    widths = fit(columns, natural_widths([title, *lines]), width)
    row = _Row(widths, width, paint or {})
    return [row.render(line) for line in (title, *lines)]


def natural_widths(lines: Sequence[Line]) -> list[int]:
    """How wide each column would like to be."""
    return [_widest(column) for column in zip(*(line.cells for line in lines), strict=True)]


def _widest(texts: Sequence[str]) -> int:
    if "".join(texts).isascii():
        return max(map(len, texts))
    return max(map(display_width, texts))


def fit(columns: Sequence[Column], natural: Sequence[int], width: int | None) -> list[int]:
    """How wide each column is to be: those that may give way do, the widest first, until the line fits or none can."""
    widths = list(natural)
    if width is not None:
        _shrink(widths, [column.first_to for column in columns], width)
        _shrink(widths, [column.least for column in columns], width)
    return widths


def is_comfortable(columns: Sequence[Column], lines: Sequence[Line], width: int) -> bool:
    """Do the lines fit into `width` when only those columns give way that are the first to?"""
    widths = natural_widths([_title(columns), *lines])
    _shrink(widths, [column.first_to for column in columns], width)
    return total_width(widths) <= width


def _title(columns: Sequence[Column]) -> Line:
    return Line(tuple(column.title for column in columns), ("title",) * len(columns))


def total_width(widths: Sequence[int]) -> int:
    """How wide a line of such columns is."""
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _shrink(widths: list[int], floors: Sequence[int], width: int) -> None:
    """Take from the widest that are above their floor (0: none of its own), until all together fit into `width`."""
    excess = total_width(widths) - width
    while excess > 0:
        giving = [place for place, floor in enumerate(floors) if floor and widths[place] > floor]
        if not giving:
            return
        widest = max(widths[place] for place in giving)
        tops = [place for place in giving if widths[place] == widest]
        below = max([floors[p] for p in tops] + [widths[p] for p in giving if widths[p] < widest])
        step = min(widest - below, -(-excess // len(tops)))
        for place in tops:
            taken = min(step, excess)
            widths[place] -= taken
            excess -= taken


class _Row:
    """Renders rows of columns that have these widths."""

    def __init__(self, widths: Sequence[int], limit: int | None, paint: Mapping[str, str]) -> None:
        self._widths = widths
        self._limit = limit
        self._paint = paint
        self._whole = total_width(widths)
        self._is_too_wide = limit is not None and self._whole > limit
        self._plain = GAP.join(f"%-{width}s" for width in widths)

    def render(self, line: Line) -> str:
        cells = line.cells
        if self._is_too_wide:
            return _cut(GAP.join(map(self._cell, cells, self._widths)), self._limit or 0).rstrip(" ")
        if not self._paint:
            text = self._plain % cells
            if len(text) == self._whole and _NARROW.fullmatch(text):
                return text.rstrip(" ")
            return GAP.join(map(self._cell, cells, self._widths)).rstrip(" ")
        return self._coloured(line)

    def _cell(self, text: str, width: int) -> str:
        shown = shorten(text, width)
        return shown + " " * (width - display_width(shown))

    def _coloured(self, line: Line) -> str:
        pieces = []
        spaces = 0
        for place, (text, width) in enumerate(zip(line.cells, self._widths, strict=True)):
            shown = shorten(text, width).rstrip(
                " "
            )  # what is no text is the gap's, which is nothing at the end
            style = self._paint.get(line.styles[place]) if line.styles else None
            if shown:
                painted = f"\x1b[{style}m{shown}\x1b[0m" if style else shown
                pieces.append(" " * spaces + painted)
                spaces = 0
            spaces += width - display_width(shown) + len(GAP)
        return "".join(pieces)


# -- how wide a text is


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` cells: its beginning and twice as much of its end, with `…` between.

    Of a path as of `user process[pid]:fd` the end tells more.
    """
    if display_width(text) <= width:
        return text
    if width <= 1:
        return _CUT[:width]
    room = width - 1
    head = _beginning(text, room // 3)
    return head + _CUT + _ending(text, room - display_width(head))


def _cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, without its end if need be."""
    return text if display_width(text) <= width else _beginning(text, max(0, width - 1)) + _CUT[:width]


def _beginning(text: str, width: int) -> str:
    used = 0
    for place, character in enumerate(text):
        used += _width_of(character)
        if used > width:
            return text[:place]
    return text


def _ending(text: str, width: int) -> str:
    used = 0
    for place in range(len(text) - 1, -1, -1):
        used += _width_of(text[place])
        if used > width:
            return text[place + 1 :].lstrip("\u200d") if width else ""
    return text


_NARROW = re.compile("[ -~←-↓─-╿]*")
"""Characters that take one cell each, among them those that lists are drawn with: seen at once, without measuring."""


def display_width(text: str) -> int:
    """How many cells of a terminal `text` takes."""
    return len(text) if text.isascii() or _NARROW.fullmatch(text) else _measure(text)


@lru_cache(_REMEMBERED)
def _measure(text: str) -> int:
    return sum(map(_width_of, text))


@lru_cache(_REMEMBERED)
def _width_of(character: str) -> int:
    """As wcwidth(3), for what is left after escaping. Where terminals differ, the wider answer."""
    from unicodedata import category, east_asian_width

    if character.isascii():
        return 1
    if east_asian_width(character) in "WF":
        return 2
    is_mark = category(character) in ("Mn", "Me", "Cf") and not _WIDE_FORMATS.match(character)
    return 0 if is_mark or "\u1160" <= character <= "\u11ff" else 1


_WIDE_FORMATS = re.compile("[\u00ad\u0600-\u0605\u06dd\u070f\u08e2]")
"""The soft hyphen and the signs that Arabic and Syriac numbers stand in: format characters that are drawn."""
