"""The words and signs of a story, whatever its form: style words, signs, moments, the key, the whole of it in prose. Pure.

What happened is told by a sign as well as by a style word, so that it can be read without colour. `formats.sequence`
puts them on life lines, `formats.sequence_list` under each other. What a style word looks like is `cli.drawing`'s.
"""

from __future__ import annotations

from ..model.escaping import escape
from ..model.sequence import Lifeline, Outcome, Story
from .canvas import Line
from .wrapping import wrap, wrap_clauses

STYLES = (
    "",  # space between, and nothing to say about it
    "title",
    "head",  # the name of a life line
    "detail",  # who it is, below the name
    "lifeline",  # the lines and the boxes
    "call",
    "waited",  # a call that had to wait: its sign and text, and the bar from its beginning to its return
    "failed",  # a call that failed: its sign and text
    "note",  # no call; also the key below the drawing, and the story's notes
    "arrow",  # with its label
    "inside",  # what the kernel holds
    "time",
)
"""Every style word that a span can have."""

SIGNS = {Outcome.DONE: "●", Outcome.WAITED: "○", Outcome.FAILED: "✗", Outcome.NOTE: "◇"}
KEY = {Outcome.WAITED: "waited", Outcome.FAILED: "failed"}
"""What is said below a drawing in which such a call occurs."""

STYLE_OF = {
    Outcome.DONE: "call",
    Outcome.WAITED: "waited",
    Outcome.FAILED: "failed",
    Outcome.NOTE: "note",
}


_LONGEST_SENTENCE = 100  # longer lines are hard to read


def format_moment(seconds: float) -> str:
    """`+120 µs`, `+1.3 ms`, `+2.31 s`: how long after the beginning, in eight characters at most up to a day."""
    if seconds < 0.0009995:
        return f"+{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        milliseconds = seconds * 1e3
        return f"+{milliseconds:.{1 if milliseconds < 99.95 else 0}f} ms"
    return f"+{seconds:.{2 if seconds < 99.995 else 0}f} s"


def moments_of(story: Story, *, times: bool) -> list[str]:
    """What is written at the left of each step: nothing without `times`."""
    return [format_moment(step.at) if times else "" for step in story.steps]


def words_of(line: Lifeline) -> tuple[str, str]:
    """Its name and its detail, escaped."""
    return escape(line.name), escape(line.detail)


def title_lines(story: Story, width: int) -> list[Line]:
    """The title, and an empty line."""
    return [*([(text, "title")] for text in wrap_clauses(escape(story.title), width)), []]


def key_of(story: Story) -> str:
    """The signs of this story that are not plain, each with its word."""
    met = {step.outcome for step in story.steps}
    return "   ".join(f"{SIGNS[outcome]} {word}" for outcome, word in KEY.items() if outcome in met)


def note_lines(story: Story, width: int) -> list[Line]:
    """The notes, each from a line of its own on, after an empty line."""
    room = min(width, _LONGEST_SENTENCE)
    lines: list[Line] = [[(text, "note")] for note in story.notes for text in wrap(escape(note), room)]
    return [[], *lines] if lines else []


def describe(story: Story) -> str:
    """The story in words, for who cannot see it."""
    lines = []
    for step in story.steps:
        words = [f"{story.lifelines[step.line].name}: {step.text}"]
        if step.outcome in (Outcome.WAITED, Outcome.FAILED):
            words.append(step.outcome.value)
        for target, label in step.leads_to():
            if 0 <= target < len(story.steps):
                other = story.lifelines[story.steps[target].line].name
                words.append(f"{label} to {other}" if label else f"to {other}")
        words += step.inside
        lines.append("; ".join(words))
    return ". ".join(lines)
