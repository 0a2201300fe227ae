"""Text for a picture with the room that it takes, though nobody knows which font will draw it. Pure.

Widths are those of the widest common font, so that text which fits here fits everywhere. All text goes through
`printable` once: then it holds nothing but what XML can carry.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape as escape_xml

from ..model.escaping import escape
from .columns import display_width
from .wrapping import wrap, wrap_clauses


@dataclass(frozen=True, slots=True)
class Text:
    """Lines of text with the height of a line and the width that the widest takes at most, in pixels."""

    lines: tuple[str, ...]
    line_height: float
    width: float

    @property
    def height(self) -> float:
        return self.line_height * len(self.lines)


def set_mono(text: str, cells: int, cell: float, line_height: float, indent: int = 0) -> Text:
    """`text` in a monospace font: wrapped at `cells`, each `cell` pixels wide."""
    lines = tuple(wrap(printable(text), cells, indent))
    return Text(lines, line_height, max(map(display_width, lines)) * cell)


def set_bold(text: str, room: float, size: float, line_height: float) -> Text:
    """The same for what is set in the sans-serif font, at most `room` pixels wide."""
    lines = tuple(wrap(printable(text), room / size, measure=_bold_em))
    return Text(lines, line_height, size * max(sum(map(_bold_em, line)) for line in lines))


def set_title(text: str, room: float, size: float, line_height: float) -> Text:
    """The same for a title: broken between its clauses, so that no command in it is torn."""
    lines = tuple(wrap_clauses(printable(text), room / size, measure=_bold_em))
    return Text(lines, line_height, size * max(sum(map(_bold_em, line)) for line in lines))


def _bold_em(character: str) -> float:
    """How wide a bold character is at most in a common sans-serif font, of which DejaVu is the widest."""
    if not character.isascii():
        return 0.9 * display_width(character)
    if character in "mwMW@%":
        return 1.12
    if character.isupper() or character in "&=+<>#~^":
        return 0.88
    return 0.48 if character in "iljtfI.,:;'|!()[]/ " else 0.73


def printable(text: str) -> str:
    """Escaped, and without the two characters that XML has no way to write."""
    return escape(text).replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def to_xml(text: str) -> str:
    """`text` for an element's content or an attribute's value."""
    return escape_xml(printable(text))
