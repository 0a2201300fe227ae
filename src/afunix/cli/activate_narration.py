"""What `activate` tells of its command: when it begins and ends, and why it is not started again at once.

That it begins and ends are notes, with -v or on a terminal. An end that is no good one is a warning, one a second at most
with a count of the others, since a command that cannot run may end very often.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from ..kernel.exit_code import words_of
from ..model.activated import Begun, Happening, NotBegun, Orphaned, Over, Signalled
from ..model.counting import counted
from ..model.errors import errno_name
from ..model.escaping import quote
from ..model.restarting import OFTEN, OFTEN_WITHIN_S
from .messages import Messages, plain

WARNINGS_EVERY_S = 1.0

_ENDED = "ended so"
_NOT_STARTED = "could not be started"


class ActivateNarration:
    """`tell` is what the tool is given; `name` is the command's first word."""

    def __init__(self, messages: Messages, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._messages = messages
        self._name = quote(name)
        self._clock = clock
        self._unsaid: dict[str, int] = {}
        self._warned_at = float("-inf")

    def tell(self, happening: Happening) -> None:
        if isinstance(happening, Begun):
            self._messages.note(f"started {self._name} (pid {happening.pid}): {happening.cause}")
        elif isinstance(happening, Over):
            self._over(happening)
        elif isinstance(happening, NotBegun):
            why = f"{plain(happening.reason)} ({errno_name(happening.errno)})"
            self._warn(_NOT_STARTED, f"{self._name} cannot be started: {why}{_again(happening.pause_s)}")
        elif isinstance(happening, Signalled):
            self._signalled(happening)
        elif isinstance(happening, Orphaned):
            self._orphaned(happening)

    def _over(self, over: Over) -> None:
        words = f"{self._name} (pid {over.pid}) ended after {over.lived_s:.1f} s: {words_of(over.code)}"
        if over.is_wanted:
            self._messages.note(words)
        elif over.code:
            self._warn(_ENDED, f"{words}{_again(over.pause_s)}")
        elif over.pause_s:
            often = f"more than {OFTEN} times within {OFTEN_WITHIN_S:g} s"
            hint = "does it accept those who wait?" if over.has_served is False else None
            self._warn(_ENDED, f"{words}, {often}{_again(over.pause_s)}", hint)
        else:
            self._messages.note(words)

    def _signalled(self, happening: Signalled) -> None:
        name = signal.Signals(happening.number).name
        if not happening.pid:
            self._messages.note(f"{name} came, and no command runs that it could be passed on to")
        elif happening.is_permitted:
            self._messages.note(f"passed {name} on to {self._name} (pid {happening.pid})")
        else:
            self._messages.warn(
                f"{name} may not be passed on to {self._name} (pid {happening.pid}), which is another user's (EPERM)",
                f"whoever may: kill -{name.removeprefix('SIG')} {happening.pid}",
            )

    def _orphaned(self, happening: Orphaned) -> None:
        pids = " ".join(map(str, happening.pids))
        if happening.number == signal.SIGKILL:
            self._messages.warn(f"what {self._name} had left behind did not end, and was killed: pid {pids}")
        else:
            name = signal.Signals(happening.number).name
            self._messages.note(f"sent {name} to what {self._name} has left behind: pid {pids}")

    def _warn(self, kind: str, words: str, hint: str | None = None) -> None:
        now = self._clock()
        if now - self._warned_at < WARNINGS_EVERY_S:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            self._messages.note(words)
            return
        others = ", and ".join(f"{each} {_times(count)} before" for each, count in self._unsaid.items())
        self._unsaid = {}
        self._warned_at = now
        self._messages.warn(f"{words} ({others})" if others else words, hint)

    def finish(self) -> None:
        """Tell what was only counted."""
        for kind, count in self._unsaid.items():
            self._messages.warn(f"{self._name} {kind} {_times(count, 'more ')}")


def _times(count: int, more: str = "") -> str:
    return counted(count, f"{more}time")


def _again(pause_s: float) -> str:
    return f"; clients wait, and the next start is in {pause_s:g} s at the earliest" if pause_s else ""
