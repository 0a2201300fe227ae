"""Who is told of the conversations of a tap, and turns what happens into the events of `model.tapped`.

Nothing is known of the names, nor of who listens to the events.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from ..kernel import names
from ..kernel.channel import Channel
from ..kernel.descriptor_words import describe
from ..model.errors import AfunixError
from ..model.escaping import quote
from ..model.tapped import RESETS, Opened, Over, Said, SaidAll, Side, TapEvent


class TapWitness:
    """Calls `tell(event)`, with times from its beginning on.

    What a refused client is told of `upstream`, which has no name that means anything to others, it is told of `path`.
    """

    def __init__(self, tell: Callable[[TapEvent], None], upstream: str, path: str) -> None:
        self._tell = tell
        self._upstream = upstream
        self._path = path
        self._began_s = time.monotonic()
        self._live: set[int] = set()

    @property
    def live(self) -> int:
        """How many connections there are."""
        return len(self._live)

    def _now_s(self) -> float:
        return time.monotonic() - self._began_s

    def opened(self, near: Channel) -> None:
        peer = near.peer
        user = names.user_name(peer.uid) if peer.is_known else None
        command = names.comm_of(peer.pid) if peer.pid else None
        self._live.add(near.connection)
        self._tell(Opened(near.connection, self._now_s(), peer, user or "", command or ""))

    def watch(self, near: Channel) -> PairWatch:
        return PairWatch(near.connection, self._began_s, self._tell)

    def over(self, near: Channel, reason: Exception | None, side: Side | None = None) -> None:
        self._live.discard(near.connection)
        if isinstance(reason, AfunixError):
            _name(reason, self._upstream, self._path)
        words = _words_of(reason, side).replace(self._upstream, self._path)
        self._tell(Over(near.connection, self._now_s(), words))


class PairWatch:
    """One conversation's events. A `kernel.relay_pumps.Watch`."""

    __slots__ = ("_began_s", "_connection", "_tell")

    def __init__(self, connection: int, began_s: float, tell: Callable[[TapEvent], None]) -> None:
        self._connection = connection
        self._began_s = began_s
        self._tell = tell

    def passed(self, is_clients: bool, data: bytes | memoryview, fds: list[int]) -> None:
        self._tell(
            Said(
                self._connection,
                time.monotonic() - self._began_s,
                Side.CLIENT if is_clients else Side.SERVER,
                _whole(data),
                tuple(describe(fd) for fd in fds) if fds else (),
            )
        )

    def ended(self, is_clients: bool) -> None:
        side = Side.CLIENT if is_clients else Side.SERVER
        self._tell(SaidAll(self._connection, time.monotonic() - self._began_s, side))


def _name(error: AfunixError, through: str, path: str) -> None:
    """What we connect to has no name that means anything to others."""
    error.message = error.message.replace(quote(through), quote(path))
    if error.hint is not None:
        error.hint = error.hint.replace(through, path)


def _whole(data: bytes | memoryview) -> bytes:
    """Without a copy where it is all of what was received."""
    whole = data.obj if isinstance(data, memoryview) else data
    return whole if isinstance(whole, bytes) and len(whole) == len(data) else bytes(data)


def _words_of(reason: Exception | None, side: Side | None) -> str:
    """Of an end that has gone with something unread it is ECONNRESET that is heard, or EPIPE, whichever is asked first."""
    if reason is None:
        return ""
    if isinstance(reason, ConnectionError) and side is not None:
        return RESETS[side]
    if isinstance(reason, AfunixError):
        return f"refused: {reason}"
    number = reason.errno if isinstance(reason, OSError) and reason.errno else 0
    return os.strerror(number).lower() if number else str(reason)
