"""Who can be read or written now: one epoll inside the event loop's own, for any number of descriptors.

An event loop pays for every descriptor: a Handle, a selector key, a context switch per event, about two
microseconds each. An epoll descriptor can itself be polled (epoll(7)), so the loop watches one, and a turn of it
serves up to `BATCH` clients at the price of a dictionary look-up each. Pausing them all is one call.

Level-triggered: whoever is not served in this turn is in the next one.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

BATCH = 256
"""Descriptors served in one turn, so that accepting and signals get theirs."""

_MOMENT_S = 0.001
"""The shortest that epoll_wait(2) waits."""

_STAY_S = 0.003
"""New clients, signals and timers wait so long at most."""

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
HUNG_UP = select.EPOLLHUP | select.EPOLLERR

T = TypeVar("T")


class Readiness(Generic[T]):
    """Calls `on_ready(item, events)` for each ready descriptor, then `on_turn()` once. Owns its epoll descriptor."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_ready: Callable[[T, int], None],
        on_turn: Callable[[], None] = lambda: None,
        *,
        stays: bool = False,
    ) -> None:
        """`stays`: while descriptors keep getting ready, a turn lasts up to _STAY_S, so that an answer that comes at once
        is not fetched through the loop; until `leave()`, or a millisecond in which nobody has anything to say.
        """
        self._loop = loop
        self._on_ready = on_ready
        self._on_turn = on_turn
        self._epoll = select.epoll()
        self._items: dict[int, T] = {}
        self._watched = False
        self._paused = False
        self._stays = stays
        self._leaves = False

    def add(self, fd: int, item: T, events: int = READABLE) -> None:
        """Watch `fd`; it must be removed before it is closed.

        Raises:
            PermissionError: for a regular file, which epoll does not take: it is always ready.
        """
        self._epoll.register(fd, events)
        self._items[fd] = item
        self._update()

    def modify(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Stop watching; harmless if `fd` is not watched."""
        if self._items.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            self._update()

    def pause(self) -> None:
        """Serve nobody until `resume()`, also for the rest of this turn."""
        self._paused = True
        self._update()

    def resume(self) -> None:
        self._paused = False
        self._update()

    def _update(self) -> None:
        wanted = bool(self._items) and not self._paused
        if wanted is not self._watched:
            self._watched = wanted
            if wanted:
                self._loop.add_reader(self._epoll.fileno(), self._turn)
            else:
                self._loop.remove_reader(self._epoll.fileno())

    def leave(self) -> None:
        """There is something to do for the loop: end this turn as soon as its batch is served."""
        self._leaves = True

    def _turn(self) -> None:
        self._leaves = not self._stays
        is_busy = self._serve(0)
        if not self._leaves:
            until = monotonic() + _STAY_S
            while is_busy and not (self._leaves or self._paused) and self._items and monotonic() < until:
                is_busy = self._serve(_MOMENT_S)
        self._on_turn()

    def _serve(self, seconds: float) -> bool:
        items, on_ready = self._items, self._on_ready
        ready = self._epoll.poll(seconds, BATCH)
        for fd, events in ready:
            item = items.get(fd)  # gone if somebody served before it in this turn closed it
            if item is not None:
                on_ready(item, events)
                if self._paused:
                    break
        return bool(ready)

    def close(self) -> None:
        """Watch nothing any more; idempotent."""
        if not self._epoll.closed:
            self.pause()
            self._items.clear()
            self._epoll.close()

    def close_copy(self) -> None:
        """The same in a forked child: the loop's interest is the parent's, and so is what is watched."""
        self._items.clear()
        self._epoll.close()


class RoomWatch:
    """Calls `on_room()` once when `fd` can be written to; one descriptor, one wait at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_room: Callable[[], None]) -> None:
        self._loop = loop
        self._on_room = on_room
        self._fd: int | None = None

    @property
    def is_waiting(self) -> bool:
        return self._fd is not None

    def wait(self, fd: int) -> None:
        self._fd = fd
        self._loop.add_writer(fd, self._report)

    def _report(self) -> None:
        self.cancel()
        self._on_room()

    def cancel(self) -> None:
        """Wait no more; idempotent."""
        if self._fd is not None:
            self._loop.remove_writer(self._fd)
            self._fd = None
