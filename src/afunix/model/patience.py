"""How long something may take: deadlines as pure decisions. The time is passed in, in seconds of one clock.

`Retrying` is for connecting: when to try again, and when to give up. `Patience` is for a conversation: how
long it may be silent, and how long it may last.
"""

from __future__ import annotations

import math
from enum import Enum

FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.1
"""Between two attempts: soon after a server starts, and ten times a second in the long run, which costs
nothing.
"""


class Retrying:
    """One connection to be made. `timeout` bounds it; with `wait` what may pass is tried again until then.

    Without `wait` only a full backlog is waited for, without `timeout` as long as it takes. The pauses are seconds,
    as in `retry.Retry`.

    Raises:
        TypeError, ValueError: no number of seconds, or less than 0.
    """

    def __init__(
        self,
        now: float,
        *,
        timeout: float | None = None,
        wait: float | None = None,
        first_pause: float = FIRST_PAUSE_S,
        longest_pause: float = LONGEST_PAUSE_S,
    ) -> None:
        self._pause = first_pause
        self._longest_pause = longest_pause
        limits = []
        for name, limit in (("timeout", timeout), ("wait", wait)):
            if limit is not None:
                must_be_seconds(limit, name)
                limits.append(limit)
        self.limit = min(limits, default=None)
        """Seconds in all; None: no limit."""
        self.retries = wait is not None
        self._deadline = None if self.limit is None else now + self.limit

    def left(self, now: float) -> float | None:
        """Seconds until the deadline, 0 if it has passed; None: there is none."""
        return None if self._deadline is None else max(0.0, self._deadline - now)

    def is_over(self, now: float) -> bool:
        return self._deadline is not None and now >= self._deadline

    def next_pause(self, now: float) -> float:
        """Seconds until the next attempt: longer each time, and never past the deadline."""
        pause, self._pause = self._pause, min(self._pause * 2, self._longest_pause)
        left = self.left(now)
        return pause if left is None else min(pause, left)


class Ending(Enum):
    """Why a conversation stopped; IDLE and WHOLE are limits that passed."""

    ENDED = "both directions ended"
    IDLE = "no byte moved for too long"
    WHOLE = "the run took too long"
    SIGNAL = "a signal came"
    OUTPUT = "the output refused bytes, or its reader left"


class Patience:
    """A conversation's two clocks. Silence counts only while we are ready to read."""

    def __init__(self, now: float, *, idle: float | None = None, deadline: float | None = None) -> None:
        self._idle = idle
        self._deadline = deadline
        self._since = now
        self._is_paused = False

    def note(self, now: float, *, moved: bool, paused: bool) -> None:
        """Tell what the last turn was: did bytes move, and is it we who are not reading?"""
        if moved or paused or self._is_paused:
            self._since = now
        self._is_paused = paused

    def expiry(self, now: float) -> Ending | None:
        """Which limit has passed, if any."""
        if self._deadline is not None and now >= self._deadline:
            return Ending.WHOLE
        if self._idle is not None and not self._is_paused and now - self._since >= self._idle:
            return Ending.IDLE
        return None

    def left(self, now: float) -> float | None:
        """Seconds until something can expire; None: nothing will."""
        ends = []
        if self._deadline is not None:
            ends.append(self._deadline)
        if self._idle is not None and not self._is_paused:
            ends.append(self._since + self._idle)
        return max(0.0, min(ends) - now) if ends else None


def must_be_seconds(seconds: float, name: str) -> None:
    """Refuse what is no number, and less than 0; infinity is for ever.

    Raises:
        TypeError, ValueError: naming it, and what was found.
    """
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise TypeError(f"{name} is {type(seconds).__name__}, expected seconds")
    if not seconds >= 0:  # so that it holds for NaN
        raise ValueError(f"{name} is {seconds}, expected 0 seconds or more")


def must_be_limit(seconds: float | None, name: str) -> None:
    """Refuse what is no number of seconds, 0 and less, and infinity; None is for ever.

    Raises:
        TypeError, ValueError: naming it, and what was found.
    """
    if seconds is None:
        return
    must_be_seconds(seconds, name)
    if not 0 < seconds < math.inf:
        raise ValueError(f"{name} is {seconds}, expected seconds, more than 0; None is for ever")


def show_seconds(seconds: float) -> str:
    """`2 s`, `0.5 s`."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"


def milliseconds(seconds: float) -> int:
    """For poll(2): rounded up, so that a deadline has passed when it returns."""
    return max(0, math.ceil(seconds * 1000))
