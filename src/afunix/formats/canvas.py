"""Rows of terminal cells to draw on, and what comes of them: lines of styled spans. Pure.

Text is given escaped. Where something is drawn twice, the later one is seen.
"""

from __future__ import annotations

from itertools import groupby

from .columns import display_width

Line = list[tuple[str, str]]
"""Spans of one line from left to right: the text, and its style word."""


class Canvas:
    """Rows of cells, each a character and its style word; a wide character has an empty cell after it."""

    def __init__(self) -> None:
        self._rows: list[dict[int, tuple[str, str]]] = []

    def add_row(self) -> None:
        self._rows.append({})

    def put(self, column: int, text: str, style: str) -> None:
        """Write on the last row, over what is there."""
        row = self._rows[-1]
        last = column
        for character in text:
            cells = display_width(character)
            if not cells:
                before, its_style = row.get(last, (" ", style))
                row[last] = (before + character, its_style)
                continue
            last = column
            row[column] = (character, style)
            if cells == 2:
                row[column + 1] = ("", style)
            column += cells

    def lines(self) -> list[Line]:
        return [self._line(row) for row in self._rows]

    def _line(self, row: dict[int, tuple[str, str]]) -> Line:
        used = [column for column, (text, _) in row.items() if text != " "]
        cells = [row.get(column, (" ", "")) for column in range(max(used, default=-1) + 1)]
        return [
            ("".join(text for text, _ in group), style)
            for style, group in (
                (style, list(group)) for style, group in groupby(cells, lambda cell: cell[1])
            )
        ]
