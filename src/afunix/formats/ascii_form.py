"""A drawing in ASCII, for a terminal whose locale has no UTF-8: signs and lines as the signs that come nearest. Pure.

Texts are spelled before they are laid out, as `…` becomes three characters; what is drawn around them is exchanged
cell by cell afterwards. What has no likeness is written as an escape, like everything that cannot be shown.
"""

from __future__ import annotations

from dataclasses import replace

from ..model.escaping import escape
from ..model.sequence import Story
from .canvas import Line

_CELLS = str.maketrans("╭╮╰╯┬─│╵╎┤├┼◀▶▸▏┃●○✗◇→×µ", "..''--|':+++<>>|#owx*>xu")
"""Cells of a drawing, each for one. A call that waited is `w`, one that is done `o`, one that failed `x`."""

_SPELLED = str.maketrans({"…": "...", "→": "->", "⇄": "<->", "×": "x", "µ": "u", "–": "-", "’": "'"})


def spell(text: str) -> str:
    """`text` in ASCII and escaped: for what is laid out next."""
    spelled = escape(text).translate(_SPELLED)
    return spelled.encode("ascii", "backslashreplace").decode("ascii")


def spell_story(story: Story) -> Story:
    """The story with every text in ASCII; that a call waits is still to be seen by its end."""
    return replace(
        story,
        title=spell(story.title),
        lifelines=tuple(
            replace(line, name=spell(line.name), detail=spell(line.detail)) for line in story.lifelines
        ),
        steps=tuple(
            replace(
                step,
                text=spell(step.text),
                arrow=spell(step.arrow),
                inside=tuple(map(spell, step.inside)),
                further=tuple((to, spell(label)) for to, label in step.further),
            )
            for step in story.steps
        ),
        notes=tuple(map(spell, story.notes)),
        question=spell(story.question),
    )


def exchange(lines: list[Line]) -> list[Line]:
    """What was drawn around spelled texts in ASCII, every cell in its place."""
    return [[(_exchanged(text), style) for text, style in line] for line in lines]


def _exchanged(text: str) -> str:
    return text.translate(_CELLS).encode("ascii", "replace").decode("ascii")
