"""Where text is broken into lines so that all of it fits in a width. Pure.

Nothing is ever cut off (`columns.shorten` does that, for tables). Text is given escaped (`model.escaping`): here
nothing is made harmless.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .columns import display_width

Measure = Callable[[str], float]

_SPACES = re.compile(r" +")
_BREAKS_AFTER = re.compile(r"[,/;:)&|-]")
_BREAKS_CLAUSE_AFTER = re.compile(r"[,;](?= )")
_CLOSES = re.compile(r" *[,;:.)]")  # what no line begins with
_HELD_TOGETHER = re.compile(r"(= ?(-1)?|^)$")  # a result stays on one line: `= -1 ECONNREFUSED`


def wrap(text: str, width: float, indent: int = 0, measure: Measure = display_width) -> list[str]:
    """`text` in lines of at most `width`, the later ones indented by spaces; broken at spaces where there are any.

    `measure` says how wide a character is: in cells of a terminal if nothing else is given. There is at least one
    line, and at least one character in each: a wide one in a width of 1 sticks out.
    """
    lines = []
    prefix = ""
    while (fitting := _fitting(text, width - len(prefix), measure)) < len(text):
        end = _break(text, fitting)
        lines.append(prefix + text[:end].rstrip(" "))
        text = text[end:].lstrip(" ")
        prefix = " " * min(indent, max(0, int(width) - 2))
    return [*lines, prefix + text] if text or not lines else lines


def _fitting(text: str, width: float, measure: Measure) -> int:
    """How many characters fit, combining ones with what they belong to; at least one."""
    taken = 0.0
    for position, character in enumerate(text):
        taken += measure(character)
        if taken > width and position:
            return position
    return len(text)


def _break(text: str, fitting: int) -> int:
    """Where to end the first line: before a space, else after a sign between words, else where it is full."""
    spaces = [
        space.start()
        for space in _SPACES.finditer(text, 0, fitting + 1)
        if not _HELD_TOGETHER.search(text[: space.start()])
    ]
    if spaces and spaces[-1] * 3 >= fitting:
        return spaces[-1]
    signs = [
        sign.end() for sign in _BREAKS_AFTER.finditer(text, 0, fitting) if not _CLOSES.match(text, sign.end())
    ]
    if signs and signs[-1] * 3 >= fitting:
        return signs[-1]
    return spaces[-1] if spaces else _before_closing(text, fitting)


def _before_closing(text: str, fitting: int) -> int:
    """`fitting`, or so much less that the next line does not begin with what closes this one."""
    for end in range(fitting, max(1, fitting - 3), -1):
        if not _CLOSES.match(text, end) and not _is_joined(text[end]):
            return end
    return fitting


def _is_joined(character: str) -> bool:
    """Does it belong to the character before it? Then no line begins with it."""
    return not display_width(character)


def wrap_clauses(text: str, width: float, measure: Measure = display_width) -> list[str]:
    """The same for a title: broken after a comma or a semicolon, elsewhere only in a clause that is itself too long."""
    lines: list[str] = []
    begin = 0
    for end in [*(sign.end() for sign in _BREAKS_CLAUSE_AFTER.finditer(text)), len(text)]:
        clause, begin = text[begin:end].lstrip(" "), end
        longer = f"{lines[-1]} {clause}" if lines else clause
        if sum(map(measure, longer)) <= width:
            lines[-1:] = [longer]
        else:
            lines += wrap(clause, width, measure=measure)
    return lines
