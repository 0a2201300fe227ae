"""What is written down while an experiment is made: calls become steps, in the wording of `--trace`.

A step stands where the experiment made its call; one that had to wait stands there twice: with `…` where it was
seen waiting, and with its result where it returned. A call that ended otherwise than it should is a surprise; where a
success was needed the experiment breaks off. A limit of our own is never told as what the kernel did.
What an experiment does is in `experiments`, which sockets there are in `staged_socket`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from errno import ENETUNREACH
from typing import Any, Generic, NoReturn, TypeVar

from ...model.errors import errno_name
from ...model.sequence import WAITS, Lifeline, Outcome, Step, Story
from .calls import LIMIT_S, Attempt, Call, NotAnswered, Waiting, attempt, is_limit
from .causes import Sent
from .shown import Names

T = TypeVar("T")
V = TypeVar("V")

SEEN_WAITING_S = 0.1
"""A call that has not returned after so long waits: for a person to see, and longer than a busy machine takes."""

_HINTS = {ENETUNREACH: "the loopback interface is down: 'ip link set lo up' in this network namespace"}
"""What is known to be behind an errno that no experiment expects."""


class BrokenOff(Exception):
    """A call failed on whose success the rest depends. It is among the surprises already."""


class Script:
    """The steps of one story after another. `look` gives the lines for `inside`: what has changed by a step."""

    def __init__(self, names: Names, *, reproducible: bool, look: Callable[[], tuple[str, ...]]) -> None:
        self.names = names
        self.stories: list[Story] = []
        self.surprises: list[str] = []
        self.is_reproducible = reproducible
        self._look = look
        self._begun: list[Begun[Any, Any]] = []
        self.begin_story("")

    def begin_story(self, title: str) -> None:
        """What is written down from now on is told under this title, beginning at 0 s."""
        self._title = title
        self._lifelines: list[Lifeline] = []
        self._steps: list[Step] = []
        self._late: dict[int, int] = {}
        self._notes: list[str] = []
        self._zero = time.monotonic()

    def end_story(self) -> None:
        """Keep what was written down; a story without steps is none."""
        if self._steps:
            lifelines, steps = tuple(self._lifelines), tuple(self._steps)
            self.stories.append(Story(self._title, lifelines, steps, tuple(self._notes)))
        self.begin_story("")

    def add_lifeline(self, name: str, detail: str = "", *, started_by: int | None = None) -> int:
        """Its number, for `write_down`. `started_by` is the step that made this process: it begins with its first."""
        self._lifelines.append(Lifeline(name, detail))
        line = len(self._lifelines) - 1
        if started_by is not None:
            self._late[line] = started_by
        return line

    def add_note(self, sentence: str) -> None:
        """What is to be read below this story; once, however often it is said."""
        if sentence not in self._notes:
            self._notes.append(sentence)

    def write_down(self, line: int, text: str, at: float, outcome: Outcome = Outcome.DONE) -> int:
        """The number of the new step; `at` is on time.monotonic."""
        at = 0.0 if self.is_reproducible else max(0.0, at - self._zero)
        self._steps.append(Step(line, text, at, outcome))
        step = len(self._steps) - 1
        if line in self._late:
            self._lifelines[line] = replace(self._lifelines[line], begins=step)
            self.caused(self._late.pop(line), step)
        return step

    def remark(self, line: int, text: str) -> None:
        """What is no call, but has to be known at this place."""
        self.write_down(line, text, time.monotonic(), Outcome.NOTE)

    def caused(self, cause: int, effect: int, label: str = "") -> None:
        """Draw an arrow from step to step, if they are on two life lines."""
        step = self._steps[cause]
        if step.line == self._steps[effect].line:
            return
        if step.to is None:
            self._steps[cause] = replace(step, to=effect, arrow=label)
        else:
            self._steps[cause] = replace(step, further=(*step.further, (effect, label)))

    def arrived(self, sent: list[Sent], effect: int) -> None:
        """What `sent` tells was read by the step `effect`."""
        for one in sent:
            self.caused(one.step, effect, one.label)

    def surprise(self, sentence: str) -> None:
        """Something is not as the explanation has it."""
        self.surprises.append(sentence)

    def break_off(self, sentence: str) -> NoReturn:
        """A surprise, without which the rest cannot be tried.

        Raises:
            BrokenOff: always.
        """
        self.surprise(sentence)
        raise BrokenOff

    def make(self, line: int, call: Call[T, V], wakes: Begun[Any, Any] | None = None) -> V:
        """Make the call and write it down; the value that the experiment goes on with.

        What it `wakes` has returned, too, before anybody looks inside: so every run sees the same.

        Raises:
            BrokenOff: it failed.
        """
        tried = attempt(call.function)
        if wakes is not None and tried.error is None:
            wakes.waiting.join()
        return self._succeeded(line, call, tried)

    def make_failing(self, line: int, call: Call[T, V], expect: int) -> int:
        """The same for a call that shall fail, with the errno `expect`: with which it did, 0 if it succeeded."""
        tried = attempt(call.function)
        if tried.error is None:
            self._succeeded(line, call, tried)
            self.surprise(f"{call.text} succeeded, expected {errno_name(expect)}")
            return 0
        self._failed(line, call.text, tried, tried.error, expect)
        return tried.error.errno or 0

    def begin(self, line: int, call: Call[T, V]) -> Begun[T, V]:
        """Let a thread make the call, and write down that it waits; a surprise if it does not."""
        return Begun(self, line, call)

    @property
    def is_waiting(self) -> bool:
        """Whether a thread is still making a call."""
        return any(not begun.waiting.is_over(0) for begun in self._begun)

    def abandon(self) -> None:
        """End what threads still wait for, after its sockets were shut down; nothing is written down."""
        for begun in self._begun:
            begun.waiting.abandon()
        self._begun.clear()

    def _succeeded(self, line: int, call: Call[T, V], tried: Attempt[T], note: str = "") -> V:
        if tried.error is not None:
            self._failed(line, call.text, tried, tried.error, 0, note)
            raise BrokenOff
        value: T = tried.value  # type: ignore[assignment]
        outcome = Outcome.WAITED if note else Outcome.DONE
        returned = call.shown(value) or (" = 0" if note else "")
        step = self.write_down(line, call.text + returned + note, tried.began, outcome)
        result = call.done(step, value)
        self._look_inside(step)
        return result

    def _failed(
        self, line: int, text: str, tried: Attempt[T], error: OSError, expect: int, note: str = ""
    ) -> None:
        name = errno_name(error.errno)
        why = self._why_unknown(tried, error, expect)
        told = f"  ({why})" if why else f" = -1 {name}{note}"
        step = self.write_down(line, text + told, tried.began, Outcome.FAILED)
        self._look_inside(step)
        if why:
            self.surprise(f"{text}: {why}")
        elif error.errno != expect:
            wanted = errno_name(expect) if expect else "it to succeed"
            hint = f" ({_HINTS[error.errno]})" if error.errno in _HINTS else ""
            self.surprise(f"{text} failed with {name}, expected {wanted}{hint}")

    @staticmethod
    def _why_unknown(tried: Attempt[T], error: OSError, expect: int) -> str:
        """Why nobody knows how the call would have ended; empty where the kernel has said it."""
        if isinstance(error, NotAnswered):
            return str(error.strerror)
        if is_limit(tried) and error.errno != expect:
            return f"given up by this program after {LIMIT_S:g} s"
        return ""

    def _look_inside(self, step: int) -> None:
        lines = self._look()
        if lines:
            self._steps[step] = replace(self._steps[step], inside=lines)


class Begun(Generic[T, V]):
    """A call that waits in a thread. `end` it, or the stage ends it."""

    def __init__(self, script: Script, line: int, call: Call[T, V]) -> None:
        self.waiting = Waiting(call)
        self._script = script
        self._line = line
        script._begun.append(self)
        self._was_seen = not self.waiting.is_over(SEEN_WAITING_S)
        if self._was_seen:
            step = script.write_down(line, call.text + WAITS[0], self.waiting.began, Outcome.WAITED)
            script._look_inside(step)
        else:
            script.surprise(f"{call.text} returned at once, expected it to wait")

    def end(self) -> V:
        """What it waited for has happened; write down how it ended, and go on with its value.

        Raises:
            BrokenOff: it failed, or its time was up.
        """
        tried = self.waiting.join()
        self._script._begun.remove(self)
        if not self._was_seen:
            return self._script._succeeded(self._line, self.waiting.call, tried)
        long = "" if self._script.is_reproducible else f" {(tried.ended - tried.began) * 1000:.0f} ms"
        ended = replace(tried, began=tried.ended)
        return self._script._succeeded(self._line, self.waiting.call, ended, f"  (waited{long})")
