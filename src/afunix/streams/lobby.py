"""Clients that were accepted while every place was taken: first come, first served, and nobody waits for ever.

Without a time limit nobody needs this: the backlog keeps clients waiting at no price, but cannot say how long.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Callable
from socket import SOCK_STREAM

from ..kernel.channel import Channel

Waiting = tuple[Channel, float]

BATCH = 64
"""Clients admitted in one turn of the loop: each may run its handler to the end at once."""


class Lobby:
    """Admits up to `places` clients to `on_admitted`, and hands those who waited `timeout_s` to `on_dropped`, with
    the seconds, and so those whose turn it is but who have left (`had_left`). It owns the channels that wait; what
    bounds their number is how many descriptors the process may have.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        places: int,
        timeout_s: float,
        on_admitted: Callable[[Channel], None],
        on_queued: Callable[[Channel], None],
        on_dropped: Callable[[Channel, float, bool], None],
    ) -> None:
        self._loop = loop
        self._places = places
        self._timeout_s = timeout_s
        self._on_admitted = on_admitted
        self._on_queued = on_queued
        self._on_dropped = on_dropped
        self._queue: deque[Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._turn: asyncio.Handle | None = None
        self._taken = 0

    def __len__(self) -> int:
        return len(self._queue)

    def enter(self, channel: Channel) -> None:
        """A client came: it is served, or waits."""
        if self._taken < self._places and not self._queue:
            self._admit(channel)
            return
        self._queue.append((channel, self._loop.time()))
        self._on_queued(channel)
        self._watch()

    def leave(self) -> None:
        """A place is free: the one who waits longest takes it.

        In a turn of its own: who leaves has nothing to do with who comes, and a row of short visits is no recursion.
        """
        self._taken -= 1
        self._admit_soon()

    def _admit_soon(self) -> None:
        if self._turn is None and self._queue and self._taken < self._places and not self._loop.is_closed():
            self._turn = self._loop.call_soon(self._admit_next)

    def _admit_next(self) -> None:
        try:
            for _ in range(BATCH):
                if not self._queue or self._taken >= self._places:
                    return
                self._admit_first()
        finally:
            self._turn = None
            self._admit_soon()

    def admit_all(self) -> None:
        """Serve everybody, whatever the places: for a stop, which turns nobody away."""
        while self._queue:
            self._admit_first()

    def _admit_first(self) -> None:
        channel, since = self._queue.popleft()
        if has_left(channel):
            self._on_dropped(channel, self._loop.time() - since, True)
        else:
            self._admit(channel)

    def _admit(self, channel: Channel) -> None:
        self._taken += 1
        self._on_admitted(channel)

    def _watch(self) -> None:
        if self._timer is None and self._queue:
            _, since = self._queue[0]
            self._timer = self._loop.call_at(since + self._timeout_s, self._drop_late)

    def _drop_late(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._queue and self._queue[0][1] + self._timeout_s <= now:
            channel, since = self._queue.popleft()
            self._on_dropped(channel, now - since, has_left(channel))
        self._watch()

    def close(self) -> None:
        """Wait for nothing any more, and close who still waits; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue:
            channel, since = self._queue.popleft()
            self._on_dropped(channel, self._loop.time() - since, has_left(channel))


def has_left(channel: Channel) -> bool:
    """Has it closed, and left nothing that could be received? A half-close is none: it waits for an answer.

    Of packets that cannot be told: an empty one is queued as 0 bytes.
    """
    if channel.socket.type != SOCK_STREAM:
        return False
    poll = select.poll()
    poll.register(channel.fd, 0)  # POLLHUP and POLLERR are told unasked (poll(2))
    return bool(poll.poll(0)) and not channel.queued()
