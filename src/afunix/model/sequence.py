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
    """One process (or one socket of it) over time: `name` is short ("server"), `detail` says who ("pid 4121").

    `begins` is the index of the step at which it comes into being; None: it is there from the beginning.
    """

    name: str
    detail: str = ""
    begins: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One call on one life line: `text` as `--trace` writes it, `at` seconds since the story began.

    `to` is the index of the step that this one caused on another line (a write, and the read that got its bytes);
    `arrow` what is written on the way between them. `inside` is what the kernel held right after it, line by line.
    `further` are steps that got the rest of it, each with what is written on the way: one write may fill two reads.
    """

    line: int
    text: str
    at: float
    outcome: Outcome = Outcome.DONE
    to: int | None = None
    arrow: str = ""
    inside: tuple[str, ...] = ()
    further: tuple[tuple[int, str], ...] = ()

    def leads_to(self) -> Sequence[tuple[int, str]]:
        """Every step that this one caused, with the label of the arrow to it."""
        return self.further if self.to is None else ((self.to, self.arrow), *self.further)


@dataclass(frozen=True, slots=True)
class Story:
    """A title, the life lines from left to right, and the steps in the order in which they are drawn.

    `notes` are plain sentences to be read below the drawing: what it leaves out, and how it was made. `question` is
    what the story answers, for a picture that is seen without the words around it.
    """

    title: str
    lifelines: tuple[Lifeline, ...]
    steps: tuple[Step, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    question: str = ""


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
        for target, label in step.leads_to():
            if target != source and 0 <= target < len(story.steps):
                found[max(source, target)].append(Arrow(source, target, label))
    return found


WAITS = (" …", " ...")
"""How the text of a call ends that has not returned yet, also where it is spelled in ASCII."""


def find_waits(story: Story) -> Mapping[int, int]:
    """The steps in which a call was left waiting, each with the step in which it returned: later, on the same line.

    A call that never returned is left out.
    """
    found: dict[int, int] = {}
    for index, step in enumerate(story.steps):
        if step.outcome is Outcome.WAITED and step.text.endswith(WAITS):
            returned = _find_return(story, index, step.text.rpartition(" ")[0])
            if returned is not None:
                found[index] = returned
    return found


def _find_return(story: Story, index: int, call: str) -> int | None:
    for later in range(index + 1, len(story.steps)):
        step = story.steps[later]
        is_same = step.line == story.steps[index].line and step.text.startswith(call)
        if is_same and not step.text.endswith(WAITS):
            return later
    return None


def find_births(story: Story) -> Mapping[int, Sequence[int]]:
    """The life lines that begin later than the drawing, by the step before which they do.

    None begins after its own first step.
    """
    found: defaultdict[int, list[int]] = defaultdict(list)
    for line, lifeline in enumerate(story.lifelines):
        if lifeline.begins is not None and 0 < lifeline.begins < len(story.steps):
            own = [index for index, step in enumerate(story.steps) if step.line == line]
            first = min([lifeline.begins, *own])
            if first > 0:
                found[first].append(line)
    return found
