"""Threads for the other end of a blocking call, and how to be sure that one is really waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.program import PATIENCE_S


class Running:
    """Functions in a thread of its own, one after the other; what the last one returned is the result."""

    def __init__(self, *acts: Callable[[], Any]) -> None:
        self._acts = acts
        self._outcome: tuple[bool, Any] = (False, AssertionError("it has not ended"))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = (True, [act() for act in self._acts][-1])
        except BaseException as error:
            self._outcome = (False, error)

    def result(self) -> Any:
        """What was returned; what was raised is raised."""
        self._join()
        is_good, value = self._outcome
        if not is_good:
            raise value
        return value

    def error(self) -> Any:
        """What it raised."""
        self._join()
        is_good, value = self._outcome
        assert not is_good, f"it returned {value!r}"
        return value

    def _join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the thread is still running"

    def until_waiting(self) -> Running:
        """Return once it waits in poll(2)."""
        until(lambda: is_polling(self._thread))
        return self


def is_polling(thread: threading.Thread) -> bool:
    """Does it wait in poll(2)? By proc(5); where the kernel does not tell wchan (0), any sleep is taken for it."""
    task = f"/proc/self/task/{thread.native_id}"
    with open(f"{task}/stat", "rb") as stat, open(f"{task}/wchan") as wchan:
        state = stat.read().rpartition(b")")[2].split()[0]
        where = wchan.read()
    return state == b"S" and ("poll" in where or where == "0")


def until(is_met: Callable[[], bool]) -> None:
    """Return once it is; the other threads run meanwhile."""
    last = time.monotonic() + PATIENCE_S
    while not is_met():
        assert time.monotonic() < last, "what was waited for does not happen"
        time.sleep(0)


@contextmanager
def running(*acts: Callable[[], Any]) -> Iterator[Running]:
    """A thread that has ended when this is left; what it raised fails the test."""
    thread = Running(*acts)
    yield thread
    thread.result()
