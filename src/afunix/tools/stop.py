"""The order of a stop, so that a successor can start at once and no client that got through is turned away.

1  refuse new clients (SHUT_RD on our own listeners), accept those that wait in the queue
2  remove the path, if it is still ours
3  with `--drain` let conversations go on for that long
4  SHUT_RD every conversation: what was sent is received to its end, what comes later fails with EPIPE
5  write it all out; an output that takes nothing for STOP_PATIENCE_S is given up, and what is lost is counted

A queue that cannot be emptied for want of descriptors is tried again and again as long; who waits in it then is
counted, and lost too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ..kernel.bridged_socket import refuse_more
from ..kernel.channel import Channel
from ..kernel.listener import Listener
from ..model.acceptance import LONGEST_PAUSE_S
from ..model.errors import AfunixError
from ..model.framing import PieceEnd
from ..sinks.base import Sink
from ..streams.acceptor import Acceptor
from .settings import TurnedAway

STOP_PATIENCE_S = 5.0
"""How long a stop waits for an output, or a client, that takes nothing at all, and for descriptors."""


class Stop:
    """One stop, from `begin()` to `on_end(bytes_lost)`, which comes once.

    `left_behind` is why a path of ours could not be removed, `turned_away` who was in the queue to the end.
    `on_finished` is told of each of those, as a sink would tell it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        acceptor: Acceptor,
        listeners: Sequence[Listener],
        sink: Sink,
        *,
        drain_s: float | None,
        on_finished: Callable[[Channel, PieceEnd], None],
        on_end: Callable[[int], None],
    ) -> None:
        self.has_begun = False
        self.is_ending = False
        self._has_ended = False
        self.left_behind: list[AfunixError] = []
        self.turned_away: TurnedAway | None = None
        self._loop = loop
        self._acceptor = acceptor
        self._listeners = listeners
        self._sink = sink
        self._drain_s = drain_s
        self._on_finished = on_finished
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._progress = (-1, -1)

    def begin(self) -> None:
        """Steps 1 and 2 at once, then what there is time for. Once; what happens later calls `go_on()`."""
        self.has_begun = True
        self._acceptor.pause()
        for listener in self._listeners:
            listener.refuse_new()
        self._acceptor.accept_queued()
        self.unlink()
        if self._drain_s and self._acceptor.live:
            self._timer = self._loop.call_later(self._drain_s, self._end_conversations)
        else:
            self._end_conversations()
        self._sink.on_progress = self.go_on
        self.go_on()

    def unlink(self) -> None:
        """Remove the paths that are ours; idempotent."""
        for listener in self._listeners:
            obstacle = listener.unlink()
            if obstacle is not None:
                self.left_behind.append(obstacle)

    def end_drain(self) -> None:
        """Let nobody talk any longer; harmless if that is so already."""
        if self.has_begun and not self.is_ending:
            self._end_conversations()
            self.go_on()

    def _end_conversations(self) -> None:
        self.is_ending = True
        if self._timer is not None:
            self._timer.cancel()
        self._acceptor.on_channel = self._on_late_channel
        self._sink.end_conversations()
        self._wait_patiently()

    def _on_late_channel(self, channel: Channel) -> None:
        """One from the queue that could not be accepted before, for want of descriptors."""
        refuse_more(channel)
        self._sink.on_channel(channel)

    def go_on(self) -> None:
        """Something has moved: is that the end?"""
        if self._has_ended:
            return
        if not self._acceptor.accept_queued():
            self._try_again_later()
        elif self._sink.drain():
            self.give_up()

    def _try_again_later(self) -> None:
        """Descriptors that somebody else gives back (ENFILE, a raised limit) are told by nothing."""
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._loop.call_later(LONGEST_PAUSE_S, self.go_on)

    def _wait_patiently(self) -> None:
        """Every so often: was anything written, or anybody accepted? If not, it never will be."""
        is_short = not self._acceptor.accept_queued()
        progress = (self._sink.bytes_written(), self._acceptor.accepted)
        if progress != self._progress:
            self._progress = progress
            self._timer = self._loop.call_later(STOP_PATIENCE_S, self._wait_patiently)
            return
        bytes_lost = self._sink.bytes_unwritten()
        if is_short:
            self.turned_away = self._turn_away_queued()
        self._end(bytes_lost)

    def _turn_away_queued(self) -> TurnedAway | None:
        """Who still waits in the queue? The sink's own descriptors are given up to find out."""
        sent: list[int] = []

        def turn_away(channel: Channel) -> None:
            sent.append(channel.queued())
            self._on_finished(channel, PieceEnd.EOF)
            channel.close()

        self._sink.close()
        self._acceptor.on_channel = turn_away
        is_certain = self._acceptor.accept_queued()
        if is_certain and not sent:
            return None  # with none left, accept(2) fails without a look at the queue
        return TurnedAway(self._acceptor.shortage, len(sent), is_certain, sum(sent))

    def give_up(self) -> None:
        """End now, whatever is lost."""
        self._end(self._sink.bytes_unwritten())

    def _end(self, bytes_lost: int) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._on_end(bytes_lost)

    def close(self) -> None:
        """Wait for nothing any more, and leave no path of ours behind."""
        for timer in (self._timer, self._retry):
            if timer is not None:
                timer.cancel()
        self._timer = self._retry = None
        self.unlink()
