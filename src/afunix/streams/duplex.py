"""Two connected sockets and the two pumps between them, on an event loop: what a relay is made of.

Each direction ends alone: the source's end of file becomes a half-close at the sink, and the other direction goes on
for as long as it likes. The pair is over when both have ended, when one has broken, or when an end is gone for good: a
socket whose peer has closed it whole takes nothing any more, so that nothing can reach it, and its other side is told
by a close. All pairs share one epoll; a pair that waits costs no more than its entry in it. Nothing is read that the
other end has no room for.

How bytes or records get from one to the other, and with what beside them, is the pumps' business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from ..kernel.channel import Channel
from ..kernel.pump import Wants
from .readiness import HUNG_UP, READABLE, WRITABLE, Readiness

_UNWATCHED = -1


class OneWay(Protocol):
    """A pump as a pair needs it: `kernel.pump.Pump`, `descriptor_pump`, `record_relay`."""

    is_finished: bool
    source_error: OSError | None
    sink_error: OSError | None
    moved: int

    @property
    def held(self) -> int: ...

    def step(self) -> Wants: ...

    def close(self) -> None: ...


class Duplex:
    """One pair. `near` is the client's end, `far` the upstream's; both are owned. `touched` is for the idle watch."""

    __slots__ = ("_down_wants", "_up_wants", "down", "far", "interest", "is_over", "near", "touched", "up")

    def __init__(self, near: Channel, far: Channel, up: OneWay, down: OneWay) -> None:
        self.near = near
        self.far = far
        self.up = up
        self.down = down
        self.touched = 0.0
        self.is_over = False
        self.interest = [_UNWATCHED, _UNWATCHED]
        self._up_wants = self._down_wants = Wants.TURN

    def step(self) -> bool:
        """Move what can be moved both ways; True if another turn is wanted at once."""
        self._up_wants = self.up.step()
        self._down_wants = self.down.step()
        return self._up_wants is Wants.TURN or self._down_wants is Wants.TURN

    @property
    def error(self) -> OSError | None:
        """What broke one of the directions."""
        for pump in (self.up, self.down):
            if pump.source_error is not None or pump.sink_error is not None:
                return pump.source_error or pump.sink_error
        return None

    @property
    def has_ended(self) -> bool:
        return self.up.is_finished and self.down.is_finished

    @property
    def wanted(self) -> tuple[int, int]:
        """What to wait for at the near end and at the far one."""
        up, down = self._up_wants, self._down_wants
        near = (READABLE if up is Wants.SOURCE else 0) | (WRITABLE if down is Wants.SINK else 0)
        far = (READABLE if down is Wants.SOURCE else 0) | (WRITABLE if up is Wants.SINK else 0)
        return near, far

    @property
    def unmoved(self) -> int:
        """Bytes that were taken and not passed on, and those that wait to be taken."""
        return self.up.held + self.down.held + self.near.queued() + self.far.queued()


class _Side:
    """One end of a pair, as an entry of the epoll."""

    __slots__ = ("duplex", "is_near")

    def __init__(self, duplex: Duplex, is_near: bool) -> None:
        self.duplex = duplex
        self.is_near = is_near

    @property
    def fd(self) -> int:
        return (self.duplex.near if self.is_near else self.duplex.far).fd


class DuplexSet:
    """All pairs of a relay. `on_over(duplex)` is told of each before its sockets are closed by the set."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_over: Callable[[Duplex], None],
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.pairs: dict[int, Duplex] = {}
        self._loop = loop
        self._on_over = on_over
        self._clock = clock
        self._readiness: Readiness[_Side] = Readiness(loop, self._on_ready)
        self._again: dict[int, Duplex] = {}
        self._turn: asyncio.Handle | None = None
        self.moved = 0
        """Bytes that went through pairs that are over."""

    def add(self, duplex: Duplex) -> None:
        """Both sockets belong to the set from now on. What has come already is moved in this very step."""
        self.pairs[duplex.near.fd] = duplex
        self._touch(duplex)
        for place, channel in enumerate((duplex.near, duplex.far)):
            self._readiness.add(channel.fd, _Side(duplex, place == 0), 0)
            duplex.interest[place] = 0
        self._step(duplex)

    def _on_ready(self, side: _Side, events: int) -> None:
        duplex = side.duplex
        self._touch(duplex)
        self._step(duplex)
        if events & HUNG_UP and not duplex.is_over:
            self._on_hang_up(duplex, side)

    def _on_hang_up(self, duplex: Duplex, side: _Side) -> None:
        """This end is gone for good. What it sent is still passed on; what is meant for it goes nowhere."""
        from_it, to_it = (duplex.up, duplex.down) if side.is_near else (duplex.down, duplex.up)
        if from_it.is_finished:
            self.end(duplex)
            return
        if not to_it.is_finished:
            to_it.close()
            (duplex.far if side.is_near else duplex.near).end_receiving()
            duplex.step()
            self._watch(duplex)
        place = 0 if side.is_near else 1
        if not duplex.interest[place]:
            # epoll(7) tells of a hang-up whether asked or not, and would again and again until the sink has room.
            self._readiness.remove(side.fd)
            duplex.interest[place] = _UNWATCHED

    def _touch(self, duplex: Duplex) -> None:
        if self._clock is not None:
            duplex.touched = self._clock()

    def _step(self, duplex: Duplex) -> None:
        wants_turn = duplex.step()
        if duplex.has_ended or duplex.error is not None:
            self.end(duplex)
            return
        self._watch(duplex)
        if wants_turn:
            self._again[duplex.near.fd] = duplex
            if self._turn is None:
                self._turn = self._loop.call_soon(self._step_again)

    def _step_again(self) -> None:
        self._turn = None
        again, self._again = self._again, {}
        for duplex in again.values():
            if not duplex.is_over:
                self._step(duplex)

    def _watch(self, duplex: Duplex) -> None:
        for place, (channel, events) in enumerate(zip((duplex.near, duplex.far), duplex.wanted, strict=True)):
            before = duplex.interest[place]
            if before == events or (before == _UNWATCHED and not events):
                continue
            duplex.interest[place] = events
            if before == _UNWATCHED:
                self._readiness.add(channel.fd, _Side(duplex, place == 0), events)
            else:
                self._readiness.modify(channel.fd, events)

    def end(self, duplex: Duplex) -> None:
        """Over: whatever is held is lost. Idempotent."""
        if duplex.is_over:
            return
        duplex.is_over = True
        del self.pairs[duplex.near.fd]
        self._again.pop(duplex.near.fd, None)
        for channel in (duplex.near, duplex.far):
            self._readiness.remove(channel.fd)
        self.moved += duplex.up.moved + duplex.down.moved
        self._on_over(duplex)
        duplex.up.close()
        duplex.down.close()
        duplex.far.close()
        duplex.near.close()

    def end_conversations(self) -> None:
        """What both ends have sent is still passed on; what they send from now on fails with EPIPE."""
        for duplex in tuple(self.pairs.values()):
            duplex.near.end_receiving()
            duplex.far.end_receiving()

    def connected(self) -> Iterable[Duplex]:
        return self.pairs.values()

    def bytes_moved(self) -> int:
        return self.moved + sum(pair.up.moved + pair.down.moved for pair in self.pairs.values())

    def bytes_unmoved(self) -> int:
        return sum(pair.unmoved for pair in self.pairs.values())

    def close(self) -> None:
        """End every pair without a word, and watch nothing any more; idempotent."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._readiness.close()
        for duplex in self.pairs.values():
            duplex.is_over = True
            for pump in (duplex.up, duplex.down):
                pump.close()
            duplex.far.close()
            duplex.near.close()
        self.pairs.clear()
