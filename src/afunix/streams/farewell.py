"""How the TCP ends of a pair that is over are closed, so that what was sent arrives, and a reset comes after it.

    the other end broke           reset, once the peer has acknowledged everything: SO_LINGER 0 throws the rest away
    the peer may still be sending  close, once it has acknowledged everything: what it sends to a closed socket is
                                   answered by a reset, and that throws the rest away, too
    anything else                  close(2) at once: the kernel delivers what is left

Nothing tells when everything is acknowledged (SIOCOUTQ is 0), so it is looked at, a few times a second in the long run.
A peer that takes nothing for PATIENCE_S is left. What it says meanwhile is read, so that it is not held up, and thrown
away, which the reset in the end tells it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ..kernel.channel import Channel
from ..kernel.connected_socket import ConnectedSocket
from ..kernel.tcp import is_dead, is_tcp, peer_may_send, reset_on_close
from .duplex import Duplex

PATIENCE_S = 60.0
FIRST_PAUSE_S = 0.002
LONGEST_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Break:
    """The end `origin` broke with `error`, so that `other`, which is in order, has to be told."""

    origin: Channel
    other: Channel
    error: OSError


def break_of(duplex: Duplex) -> Break | None:
    """What broke the pair. EPIPE does not: who reads no more has perhaps ended in all order."""
    for origin, other, error in (
        (duplex.near, duplex.far, duplex.near_error),
        (duplex.far, duplex.near, duplex.far_error),
    ):
        if error is not None and not isinstance(error, BrokenPipeError):
            return Break(origin, other, error)
    return None


@dataclass(slots=True)
class _Leaving:
    """A socket that waits, for which pair, and since when so much is left of what was sent on it."""

    duplex: Duplex
    end: ConnectedSocket
    is_reset: bool
    left: int
    since: float
    discarded: int = 0


class Farewells:
    """Owns the sockets that it takes until they are closed. `bytes_lost`: sent on them, and never taken.

    `on_gone(duplex)` is called when the last of a pair that was waited for is closed.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_gone: Callable[[Duplex], None] = lambda duplex: None
    ) -> None:
        self.bytes_lost = 0
        self.is_ending = False
        """Is a stop under way, so that somebody may have sent to one who would have taken it but for that?"""
        self._loop = loop
        self._on_gone = on_gone
        self._leaving: list[_Leaving] = []
        self._timer: asyncio.TimerHandle | None = None
        self._pause_s = FIRST_PAUSE_S

    def part(self, duplex: Duplex) -> bool:
        """The pair is over: take the ends that cannot just be closed, whose Channels are then closed already. True: one
        of them is waited for, and `on_gone` will tell.
        """
        before = len(self._leaving)
        broken = break_of(duplex)
        for channel in (duplex.near, duplex.far):
            if channel.is_closed or not is_tcp(channel.socket):
                continue
            if broken is not None and broken.other is channel:
                self._take(duplex, channel, is_reset=True)
            elif _left(channel) and peer_may_send(channel.socket):
                self._take(duplex, channel, is_reset=False)
        return len(self._leaving) > before

    def _take(self, duplex: Duplex, channel: Channel, *, is_reset: bool) -> None:
        sock, _ = channel.detach()
        end = ConnectedSocket(sock)
        end.send_ended = channel.send_ended
        one = _Leaving(duplex, end, is_reset, _left(end), self._loop.time())
        if not one.left:
            _close(one)
            return
        self._leaving.append(one)
        self._pause_s = FIRST_PAUSE_S
        self._look_later()

    @property
    def bytes_waiting(self) -> int:
        """What is on its way still."""
        return sum(_left(one.end) for one in self._leaving)

    def __len__(self) -> int:
        return len(self._leaving)

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._pause_s, self._look)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def _look(self) -> None:
        self._timer = None
        now, before = self._loop.time(), self._leaving
        self._leaving = [one for one in before if not self._is_done(one, now)]
        if self._leaving:
            self._look_later()
        if len(self._leaving) < len(before):
            for duplex in {one.duplex for one in before} - {one.duplex for one in self._leaving}:
                self._on_gone(duplex)

    def _is_done(self, one: _Leaving, now: float) -> bool:
        discarded = one.end.discard_queued()  # who writes before he reads would wait for ever
        one.discarded += discarded
        self.bytes_lost += discarded if self.is_ending else 0
        left = _left(one.end)
        if is_dead(one.end.socket):
            self.bytes_lost += left
            _close(one)
            return True
        if left != one.left:
            one.left, one.since = left, now
        if left and now - one.since < PATIENCE_S:
            return False
        self.bytes_lost += left
        _close(one)
        return True

    def close(self) -> None:
        """Wait for nobody any more, whatever is lost; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for one in self._leaving:
            self.bytes_lost += _left(one.end)
            _close(one)
        self._leaving.clear()


def _left(end: ConnectedSocket) -> int:
    """Bytes that the peer has not acknowledged. SIOCOUTQ counts our FIN as one more, and that goes last. What was left
    when the connection broke stays there to be asked for.
    """
    return max(0, end.unread_by_peer() - end.send_ended)


def _close(one: _Leaving) -> None:
    if one.is_reset or one.discarded:
        reset_on_close(one.end.socket)
    one.end.close()
