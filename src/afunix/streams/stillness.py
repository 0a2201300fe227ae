"""Streams on which no byte has moved for too long. Counterpart of `idle`, for streams that nobody touches for us.

What the peer reads of that which was sent before moves, too (`ConnectedSocket.unread_by_peer`).

Their counters are looked at twenty times in the limit, so that the streams themselves keep no clock. Time in which a
handler does not wait for its client does not count: then it is we who are silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

_LOOKS = 20
"""In the time that somebody may be idle. One look sees that he has begun to wait, another that it is too long: so he
may be found a tenth of it late, and never early."""


class Watched(Protocol):
    """A stream: how much has moved, what has the peer not read yet, and does somebody wait here for more?"""

    @property
    def _bytes_moved(self) -> int: ...

    @property
    def _unread_by_peer(self) -> int: ...

    @property
    def _is_waited_for(self) -> bool: ...


class StillnessWatch:
    """Calls `on_still(stream)` for each of `streams()` that has not moved for `limit_s` while it was waited for."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit_s: float,
        streams: Callable[[], Iterable[Watched]],
        on_still: Callable[[Watched], None],
    ) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._streams = streams
        self._on_still = on_still
        # How much had moved, what the peer had not read, and when one of them was new.
        self._seen: dict[Watched, tuple[int, int, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Somebody is there to watch; harmless if the watch is on already."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit_s / _LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        seen: dict[Watched, tuple[int, int, float]] = {}
        still = []
        for stream in self._streams():
            moved = stream._bytes_moved
            before, queued, since = self._seen.get(stream, (-1, 0, now))
            # An empty queue stays so while nothing is sent: most are never asked for theirs.
            unread = stream._unread_by_peer if queued or moved != before else 0
            if moved != before or unread < queued or not stream._is_waited_for:
                since = now
            elif now - since >= self._limit_s:
                still.append(stream)
            seen[stream] = moved, unread, since
        self._seen = seen
        for stream in still:
            del self._seen[stream]
            self._on_still(stream)
        if self._seen:
            self.wake()

    def close(self) -> None:
        """Watch nobody any more; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._seen = {}
