"""Waiting for one descriptor in poll(2), until a deadline. A signal does not end a wait unless its handler raises
(PEP 475): then that exception comes out, otherwise the rest of the time is waited.
"""

from __future__ import annotations

import select
import time

from ..model.patience import milliseconds, must_be_seconds

_LONGEST_S = 3600.0
"""poll(2) takes an int of milliseconds; longer waits are several."""


class Deadline:
    """A moment, `seconds` from now; None: never."""

    __slots__ = ("_at",)

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    @classmethod
    def after(cls, timeout: float | None) -> Deadline:
        """The same, for the `timeout` that a caller gave.

        Raises:
            TypeError, ValueError: it is no time to wait for.
        """
        if timeout is not None:
            must_be_seconds(timeout, "timeout")
        return cls(timeout)

    def left(self) -> float | None:
        """Seconds until then, 0 if it has passed; None: it never comes."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    @property
    def has_passed(self) -> bool:
        return self.left() == 0.0


def wait_until(poll: select.poll, *deadlines: Deadline) -> bool:
    """Wait until `poll` has something to tell; False: the first of `deadlines` came before."""
    while True:
        left = [seconds for seconds in map(Deadline.left, deadlines) if seconds is not None]
        seconds = min(left, default=_LONGEST_S)
        if poll.poll(milliseconds(min(seconds, _LONGEST_S))):
            return True
        if any(deadline.has_passed for deadline in deadlines):
            return False
