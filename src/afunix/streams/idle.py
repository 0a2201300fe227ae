"""Clients that have moved no byte for too long: found with one timer, and none while nobody is connected.

The clock is passed in, because time in which we were the ones not reading does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar


class Touched(Protocol):
    """What can be idle: `touched` is the time of its last bytes, by the clock of the watch."""

    touched: float


T = TypeVar("T", bound=Touched)


class IdleWatch(Generic[T]):
    """Calls `on_idle(item)` for each of `items()` that was not touched for `limit_s`; within a twentieth of it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit_s: float,
        clock: Callable[[], float],
        items: Callable[[], Iterable[T]],
        on_idle: Callable[[T], None],
    ) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._clock = clock
        self._items = items
        self._on_idle = on_idle
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Somebody is there to watch; harmless if the watch is on already."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit_s, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock()
        for item in [item for item in self._items() if now - item.touched >= self._limit_s]:
            self._on_idle(item)
        oldest = min((item.touched for item in self._items()), default=None)
        if oldest is not None:
            wait_s = max(oldest + self._limit_s - now, self._limit_s / 20)
            self._timer = self._loop.call_later(wait_s, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
