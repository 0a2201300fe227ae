"""The waits of one run at the shell: for one descriptor at a time, until a deadline, or until a signal comes."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import TypeVar

from ..kernel.interrupts import Interrupts
from .deadline import Deadline, wait_until

T = TypeVar("T")


class DeadlinePassed(Exception):
    """The run's time is over; what stood in the way, whoever waited knows."""


class Interruptible:
    """Waits for others, `seconds` in all from now on; None: for ever. Borrows `interrupts`."""

    def __init__(self, interrupts: Interrupts, seconds: float | None) -> None:
        self.interrupts = interrupts
        self.seconds = seconds
        self._deadline = Deadline(seconds)

    def left(self) -> float | None:
        """Seconds until the deadline, 0 if it has passed; None: there is none."""
        return self._deadline.left()

    def until(self, fd: int, events: int) -> None:
        """Wait until poll(2) tells one of `events` of `fd`, or its end.

        Raises:
            DeadlinePassed, Interrupted: that was first.
        """
        poll = select.poll()
        poll.register(self.interrupts.fd, select.POLLIN)
        poll.register(fd, events)
        is_ready = wait_until(poll, self._deadline)
        self.interrupts.check()
        if not is_ready:
            raise DeadlinePassed

    def until_done(self, attempt: Callable[[], T | None], fd: int, events: int) -> T:
        """What `attempt` gives once it is not None; between two of them `fd` is waited for.

        Raises:
            DeadlinePassed, Interrupted: that was first. Otherwise as `attempt`.
        """
        while True:
            done = attempt()
            if done is not None:
                return done
            self.until(fd, events)
