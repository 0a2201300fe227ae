"""Who is inside: closing from another thread, or from a signal handler, without pulling a descriptor from under a call.

A number that is closed is the next one to be given out, so a call that is about to use it would reach somebody else's
file. So every call enters and leaves; whoever shuts the turnstile only says that it is over, and the last who leaves
closes. Nobody waits here. Counterpart: `waiting` and `listening` say how those inside are woken.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType

lock = threading.RLock()
"""Held for a few steps of bookkeeping, by one thread of the process. Reentrant: a signal handler may come in between.

Take it as `turnstile.lock`: a forked child has a new one.
"""

generation = 0
"""How often this process was forked since this file was loaded. Only the thread that forks lives on in the child."""


class Turnstile:
    """Counts the calls inside. `on_empty` is called when it was shut and nobody is inside any more: it closes, and
    must be idempotent.
    """

    __slots__ = ("_generation", "_inside", "_on_empty", "is_shut")

    def __init__(self, on_empty: Callable[[], None]) -> None:
        self._on_empty = on_empty
        self._inside = 0
        self._generation = generation
        self.is_shut = False

    def enter(self) -> None:
        """A call begins; each needs its `leave`. `with` does both."""
        with lock:
            self._forget_the_parents()
            self._inside += 1

    def leave(self) -> None:
        """A call ends."""
        with lock:
            self._inside -= 1
            is_last = self.is_shut and not self.is_used
        if is_last:
            self._on_empty()

    def shut(self) -> bool:
        """It is over; whoever says so has to `leave`, too. False if it was over already: then there is nothing to do."""
        with lock:
            if self.is_shut:
                return False
            self.is_shut = True
            self._forget_the_parents()
            self._inside += 1
        return True

    @property
    def is_used(self) -> bool:
        """Is a call inside?"""
        return self._generation == generation and self._inside > 0

    @property
    def is_shared(self) -> bool:
        """Is another call inside beside the one that asks?"""
        return self._inside > 1

    def _forget_the_parents(self) -> None:
        """Who was inside when this process was forked is a thread of the parent."""
        if self._generation != generation:
            self._generation = generation
            self._inside = 0

    def __enter__(self) -> None:
        self.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


def _note_fork() -> None:
    global generation, lock
    generation += 1
    lock = threading.RLock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_note_fork)
