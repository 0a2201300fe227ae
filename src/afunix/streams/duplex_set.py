"""All pairs of a relay on an event loop: each is moved when one of its ends is ready, and closed when it is over.

All pairs share one epoll; a pair that waits costs no more than its two entries in it. A pair that has had its share goes
on in the next turn of the loop, so that no pair keeps the others waiting; what waits for nothing is not waited for.

What is moved and what becomes of an end, a pair decides itself (`duplex`); who is told before a pair is closed, the
owner of the set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ..kernel.pump import Wants
from ..kernel.tcp import is_tcp
from .duplex import UNWATCHED, Duplex, End
from .readiness import HUNG_UP, READABLE, WRITABLE, Readiness


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
        if events == READABLE and end.pass_on():
            if self._clock is not None:
                duplex.touched = self._clock()
        elif events & HUNG_UP:
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
        elif end.interest != UNWATCHED:
            self._readiness.modify(end.channel.fd, wanted)
            end.interest = wanted

    def _unwatch(self, end: End) -> None:
        if end.interest != UNWATCHED:
            self._readiness.remove(end.channel.fd)
            end.interest = UNWATCHED

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
            self.end_conversation(duplex)

    def end_conversation(self, duplex: Duplex) -> None:
        """The same for one pair, which may be over by that."""
        duplex.is_ending = True
        for end in duplex.ends:
            end.end_taking()
        if any(is_tcp(end.channel.socket) for end in duplex.ends):
            self._step(duplex, duplex.ends)  # for nobody tells

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
    # What knows itself stays, with all that it holds, until the garbage collector comes: ends know their pair and each
    # other, and an error the frames it went through.
    for end in duplex.ends:
        del end.other
    duplex.ends = ()
    for error in (duplex.near_error, duplex.far_error):
        if error is not None:
            error.__traceback__ = None
