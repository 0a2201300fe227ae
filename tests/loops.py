"""An event loop that a test turns by hand and whose clock stands still: nothing is waited for, nothing is left to chance.

Unix sockets and pipes deliver at once, so what was sent before a turn is there in it. `advance(s)` moves the clock
and lets what has become due happen. An exception in a callback fails the turn instead of being logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

MANY_TURNS = 10_000
"""More than anything here takes; only a failure reaches it."""


class HandTurned(asyncio.SelectorEventLoop):
    """`now` is the loop's time in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__()
        self._faults: list[BaseException] = []
        self.set_exception_handler(lambda loop, context: self._note(context))

    def _note(self, context: dict[str, Any]) -> None:
        self._faults.append(context.get("exception") or AssertionError(context["message"]))

    def time(self) -> float:
        return self.now

    def turn(self, times: int = 1) -> None:
        """Serve whatever is ready, `times` times over."""
        for _ in range(times):
            self.call_soon(self.stop)
            self.run_forever()
            if self._faults:
                raise self._faults.pop()

    def advance(self, seconds: float) -> None:
        """`seconds` have gone by."""
        self.now += seconds
        self.turn(2)

    def until(self, is_met: Callable[[], bool]) -> None:
        """Turn until `is_met()`."""
        for _ in range(MANY_TURNS):
            if is_met():
                return
            self.turn()
        raise AssertionError("what was waited for does not happen")

    def until_still(self, measure: Callable[[], object]) -> None:
        """Turn until `measure()` has not changed for a few turns."""
        last, unchanged = measure(), 0
        for _ in range(MANY_TURNS):
            self.turn()
            now = measure()
            unchanged = unchanged + 1 if now == last else 0
            last = now
            if unchanged == 4:
                return
        raise AssertionError("it never comes to rest")


def faults_of(loop: HandTurned, times: int = 1) -> list[BaseException]:
    """What callbacks raised in so many turns."""
    found: list[BaseException] = []
    for _ in range(times):
        try:
            loop.turn()
        except Exception as error:
            found.append(error)
    return found
