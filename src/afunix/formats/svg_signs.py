"""The signs of a picture: how a call ended, told by form and not only by colour, and the key that names them. Pure.

What a class looks like is `sequence_style`'s, where a sign stands `sequence_svg`'s.
"""

from __future__ import annotations

from ..model.sequence import Outcome, Story

_CLOCK = "m0 -3.6v3.6l2.6 1.8"
_CROSS = "m-2.8 -2.8l5.6 5.6m0 -5.6l-5.6 5.6"
_PANEL = '<rect class="inside-tint" x="-8" y="-6" width="16" height="12" rx="3"/><rect class="inside-bar" x="-8" y="-6" width="3" height="12" rx="1.5"/>'  # noqa: E501


def sign_of(outcome: Outcome, accent: str, x: float, y: float) -> str:
    """The sign on a life line of the colour `accent`."""
    if outcome is Outcome.WAITED:
        return _round("waited", x, y, _CLOCK)
    if outcome is Outcome.FAILED:
        return _round("failed", x, y, _CROSS)
    if outcome is Outcome.NOTE:
        return f'<path class="page note-edge" d="M{number(x)} {number(y - 6)}l6 6l-6 6l-6 -6z"/>'
    return f'<circle class="dot {accent}" cx="{number(x)}" cy="{number(y)}" r="5"/>'


def key_of(story: Story) -> list[tuple[str, str]]:
    """What of the signs is to be explained: each, drawn around 0, 0, and its word."""
    met = {step.outcome for step in story.steps}
    entries = [
        (_round("waited", 0, 0, _CLOCK), "waited", Outcome.WAITED in met),
        (_round("failed", 0, 0, _CROSS), "failed", Outcome.FAILED in met),
        (_PANEL, "what the kernel holds", any(step.inside for step in story.steps)),
    ]
    return [(sign, word) for sign, word, is_met in entries if is_met]


def _round(kind: str, x: float, y: float, drawing: str) -> str:
    """A round sign that is told apart by what is drawn in it."""
    return (
        f'<circle class="page" cx="{number(x)}" cy="{number(y)}" r="9"/>'
        f'<circle class="{kind}-tint" cx="{number(x)}" cy="{number(y)}" r="7"/>'
        f'<path class="sign {kind}-sign" d="M{number(x - 7)} {number(y)}a7 7 0 1 0 14 0a7 7 0 1 0 -14 0'
        f'M{number(x)} {number(y)}{drawing}"/>'
    )


def number(value: float) -> str:
    """A coordinate, with no more digits than can be seen."""
    return f"{value:.1f}".removesuffix(".0")
