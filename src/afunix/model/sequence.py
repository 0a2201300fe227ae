"""What happened between several sockets, in order of time, on life lines: the story that `demo` draws. Values.

A Story comes from events (`model.storytelling`) or from the calls of an experiment (`tools.demo.stage`); it is
never written by hand. `formats.sequence` draws it for a terminal, `formats.sequence_svg` as a picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """How a call ended, for its colour and its sign. NOTE is no call, but what a reader has to know there."""

    DONE = "done"
    WAITED = "waited"
    FAILED = "failed"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Lifeline:
    """One process (or one socket of it) over time: `name` is short ("server"), `detail` says who ("pid 4121")."""

    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One call on one life line: `text` as `--trace` writes it, `at` seconds since the story began.

    `to` is the index of the step that this one caused on another line (a write, and the read that got its bytes);
    `arrow` what is written on the way between them. `inside` is what the kernel held right after it, line by line.
    """

    line: int
    text: str
    at: float
    outcome: Outcome = Outcome.DONE
    to: int | None = None
    arrow: str = ""
    inside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """A title, the life lines from left to right, and the steps in the order in which they are drawn."""

    title: str
    lifelines: tuple[Lifeline, ...]
    steps: tuple[Step, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Arrow:
    """From the step `source` to the step `target` (indices), with its label. Drawn before the later of the two."""

    source: int
    target: int
    label: str


def find_arrows(story: Story) -> Mapping[int, Sequence[Arrow]]:
    """The arrows of a story by the step that they are drawn before; one that leads nowhere is left out."""
    found: defaultdict[int, list[Arrow]] = defaultdict(list)
    for source, step in enumerate(story.steps):
        if step.to is not None and step.to != source and 0 <= step.to < len(story.steps):
            found[max(source, step.to)].append(Arrow(source, step.to, step.arrow))
    return found
