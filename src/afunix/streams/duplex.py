"""Two connected sockets and the two pumps between them, on an event loop: what a relay is made of.

Each direction ends alone: the source's end of file becomes a half-close at the sink, and the other direction goes on
for as long as it likes. An end that takes no more is told of by what comes next: whoever writes to it through us fails
with EPIPE as he would without us, and what it has sent itself is still passed on. An end that is gone for good ends the
pair once its last bytes are through. All pairs share one epoll; a pair that waits costs no more than its two entries
in it. Nothing is read that the other end has no room for.

How bytes or records get from one to the other, and with what beside them, is the pumps' business.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Iterable
from typing import Protocol

from ..kernel.channel import Channel
from ..kernel.pump import Wants
from ..kernel.tcp import is_tcp
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


class End:
    """One end of a pair, as an entry of the epoll: its socket, and the pump that reads it."""

    __slots__ = ("channel", "duplex", "interest", "is_gone", "other", "reads", "wants")

    other: End

    def __init__(self, duplex: Duplex, channel: Channel, reads: OneWay) -> None:
        self.duplex = duplex
        self.channel = channel
        self.reads = reads
        self.wants = Wants.TURN
        self.interest = _UNWATCHED
        self.is_gone = False

    @property
    def wanted(self) -> int:
        """What to wait for here."""
        readable = READABLE if self.wants is Wants.SOURCE else 0
        return readable | WRITABLE if self.other.wants is Wants.SINK else readable

    def look(self) -> None:
        """Is it gone: shut both ways, or broken? poll(2) tells it unasked."""
        poll = select.poll()
        poll.register(self.channel.fd, 0)
        self.is_gone = bool(poll.poll(0))

    @property
    def unmoved(self) -> int:
        """Bytes that were taken from here and not passed on, and those that wait to be taken, if anybody would."""
        pump = self.reads
        if pump.is_finished and (pump.sink_error is None or isinstance(pump.sink_error, ConnectionError)):
            return 0
        return pump.held + self.channel.queued()


class Duplex:
    """One pair. `near` is the client's end, `far` the upstream's; both are owned. `touched` is for the idle watch."""

    __slots__ = ("_dropped", "_is_cut", "down", "ends", "far", "is_over", "near", "touched", "up")

    def __init__(self, near: Channel, far: Channel, up: OneWay, down: OneWay) -> None:
        self.near = near
        self.far = far
        self.up = up
        self.down = down
        self.touched = 0.0
        self.is_over = False
        one, other = End(self, near, up), End(self, far, down)
        one.other, other.other = other, one
        self.ends: tuple[End, ...] = (one, other)
        self._is_cut = False
        self._dropped = 0

    def step(self, *ends: End) -> None:
        """Move what can be moved from these ends; what breaks there is passed on."""
        for end in ends:
            end.wants = end.reads.step()
            if end.wants is Wants.NOTHING:
                self._pass_on(end)

    def _pass_on(self, end: End) -> None:
        """A source that breaks is gone whole: there is nobody left to write to. A sink that takes no more has perhaps
        said something before. What it does not take for another reason (EPERM, EMSGSIZE) ends all.
        """
        error = end.reads.sink_error
        if end.reads.source_error is not None:
            self._stop_reading(end.other)
        elif isinstance(error, ConnectionError):
            self._cut(end)
        elif error is not None:
            if not end.other.reads.is_finished:
                self._dropped = end.other.unmoved
            self._stop_reading(end.other)

    def note_hang_ups(self) -> None:
        """Nothing reaches an end that is gone: what is on its way there goes nowhere, and its source is told.

        The kernel is asked: a descriptor that was closed in this turn may have another owner by now.
        """
        for end in self.ends:
            end.look()
            if end.is_gone and not end.other.reads.is_finished:
                self._stop_reading(end.other)
                self._cut(end.other)

    def _stop_reading(self, end: End) -> None:
        end.reads.close()
        end.wants = Wants.NOTHING

    def _cut(self, end: End) -> None:
        """Whoever writes here is told that nobody takes it. Once: of two ends that are cut the pair is over."""
        if not self._is_cut:
            self._is_cut = True
            if not is_tcp(end.channel.socket):
                # TCP tells its peer nothing by it, and then resets the connection for what comes after our FIN: what
                # the peer has not yet got of ours would be thrown away.
                end.channel.end_receiving()
            end.channel.discard_queued()

    @property
    def near_error(self) -> OSError | None:
        """What the client's end broke with, if it did."""
        return self.up.source_error or self.down.sink_error

    @property
    def far_error(self) -> OSError | None:
        """What the upstream's end broke with."""
        return self.down.source_error or self.up.sink_error

    @property
    def error(self) -> OSError | None:
        """What broke one of the ends."""
        return self.near_error or self.far_error

    @property
    def has_ended(self) -> bool:
        return self.up.is_finished and self.down.is_finished

    @property
    def unmoved(self) -> int:
        """Bytes that were sent to somebody who is there, as far as we know, and have not reached him."""
        return self._dropped + sum(end.unmoved for end in self.ends)


class DuplexSet:
    """All pairs of a relay. `on_over(duplex)` is told of each before its sockets are closed by the set."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_over: Callable[[Duplex], None],
        *,
        clock: Callable[[], float] | None = None,
        stays: bool = True,
    ) -> None:
        """`stays`: the loop is ours, so that a turn may last while pairs are busy (`Readiness`)."""
        self.pairs: dict[int, Duplex] = {}
        self._loop = loop
        self._on_over = on_over
        self._clock = clock
        self._readiness: Readiness[End] = Readiness(loop, self._on_ready, stays=stays)
        self._again: dict[int, Duplex] = {}
        self._turn: asyncio.Handle | None = None
        self._moved = (0, 0)  # by pairs that are over

    def add(self, duplex: Duplex) -> None:
        """Both sockets belong to the set from now on, and `start` is to be called.

        Raises:
            OSError: the kernel watches no more of them (ENOSPC, ENOMEM; epoll_ctl(2)); they stay the caller's.
        """
        try:
            for end in duplex.ends:
                self._readiness.add(end.channel.fd, end, READABLE)
                end.interest = READABLE
        except BaseException:
            self._forget(duplex)
            raise
        self.pairs[duplex.near.fd] = duplex

    def start(self, duplex: Duplex) -> None:
        """Move what has come already."""
        self._step(duplex, duplex.ends)

    def _on_ready(self, end: End, events: int) -> None:
        duplex = end.duplex
        if events & HUNG_UP:
            duplex.note_hang_ups()
            self._step(duplex, duplex.ends)
        elif events == READABLE:
            self._step(duplex, (end,))
        elif events == WRITABLE:
            self._step(duplex, (end.other,))
        else:
            self._step(duplex, duplex.ends)

    def _step(self, duplex: Duplex, ends: Iterable[End]) -> None:
        if self._clock is not None:
            duplex.touched = self._clock()
        duplex.step(*ends)
        if duplex.has_ended:
            self.end(duplex)
            return
        wants_turn = False
        for end in duplex.ends:
            wanted = end.wanted
            if wanted != end.interest or end.is_gone:
                self._watch(end, wanted)
            wants_turn = wants_turn or end.wants is Wants.TURN
        if wants_turn:
            self._again[duplex.near.fd] = duplex
            self._readiness.leave()
            if self._turn is None:
                self._turn = self._loop.call_soon(self._step_again)

    def _step_again(self) -> None:
        self._turn = None
        again, self._again = self._again, {}
        for duplex in again.values():
            if not duplex.is_over:
                self._step(duplex, [end for end in duplex.ends if end.wants is Wants.TURN])

    def _watch(self, end: End, wanted: int) -> None:
        if end.is_gone and not wanted:
            # epoll(7) tells of a hang-up whether asked or not, and would again and again until the sink has room.
            self._unwatch(end)
        elif end.interest != _UNWATCHED:
            self._readiness.modify(end.channel.fd, wanted)
            end.interest = wanted

    def _unwatch(self, end: End) -> None:
        if end.interest != _UNWATCHED:
            self._readiness.remove(end.channel.fd)
            end.interest = _UNWATCHED

    def end(self, duplex: Duplex) -> None:
        """Over: whatever is held is lost. Idempotent."""
        if duplex.is_over:
            return
        duplex.is_over = True
        del self.pairs[duplex.near.fd]
        self._again.pop(duplex.near.fd, None)
        self._forget(duplex)
        self._readiness.leave()
        self._moved = (self._moved[0] + duplex.up.moved, self._moved[1] + duplex.down.moved)
        try:
            self._on_over(duplex)
        finally:
            _close(duplex)

    def _forget(self, duplex: Duplex) -> None:
        for end in duplex.ends:
            self._unwatch(end)

    def end_conversations(self) -> None:
        """What both ends have sent is still passed on; what they send from now on fails with EPIPE."""
        for duplex in tuple(self.pairs.values()):
            duplex.near.end_receiving()
            duplex.far.end_receiving()

    def connected(self) -> Iterable[Duplex]:
        return self.pairs.values()

    def traffic(self) -> tuple[int, int]:
        """Bytes that went up, from clients, and down, since the start."""
        up, down = self._moved
        pairs = self.pairs.values()
        return up + sum(pair.up.moved for pair in pairs), down + sum(pair.down.moved for pair in pairs)

    def bytes_moved(self) -> int:
        return sum(self.traffic())

    def bytes_unmoved(self) -> int:
        return sum(pair.unmoved for pair in self.pairs.values())

    def close(self) -> None:
        """End every pair without a word, and watch nothing any more; idempotent."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._again.clear()
        self._readiness.close()
        for duplex in self.pairs.values():
            duplex.is_over = True
            _close(duplex)
        self.pairs.clear()

    def close_copies(self) -> None:
        """The same in a forked child, where the loop's interest, and the epoll's, are the parent's; idempotent."""
        self._readiness.close_copy()
        for duplex in self.pairs.values():
            duplex.is_over = True
            _close(duplex)
        self.pairs.clear()


def _close(duplex: Duplex) -> None:
    duplex.up.close()
    duplex.down.close()
    duplex.far.close()
    duplex.near.close()
    duplex.ends = ()  # they know their pair, and would keep it until the garbage collector comes
