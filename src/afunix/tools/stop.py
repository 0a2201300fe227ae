"""The order of a stop, so that a successor can start at once and no client that got through is turned away.

1  refuse new clients (SHUT_RD on our own listeners), accept those that wait in the queue
2  remove the path, if it is still ours
3  with `--drain` let conversations go on for that long
4  SHUT_RD every conversation: what was sent is received to its end, what comes later fails with EPIPE
5  write it all out; an output that takes nothing for STOP_PATIENCE_S is given up, and what is lost is counted
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ..kernel.channel import Channel
from ..kernel.listener import Listener
from ..model.errors import AfunixError
from ..sinks.base import Sink
from ..streams.acceptor import Acceptor

STOP_PATIENCE_S = 5.0
"""How long a stop waits for an output, or a client, that takes nothing at all."""


class Stop:
    """One stop, from `begin()` to `on_end(bytes_lost)`. `left_behind` is why a path of ours could not be removed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        acceptor: Acceptor,
        listeners: Sequence[Listener],
        sink: Sink,
        *,
        drain_s: float | None,
        on_end: Callable[[int], None],
    ) -> None:
        self.has_begun = False
        self._is_ending = False
        self.left_behind: list[AfunixError] = []
        self._loop = loop
        self._acceptor = acceptor
        self._listeners = listeners
        self._sink = sink
        self._drain_s = drain_s
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None
        self._written = -1

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
        if self.has_begun and not self._is_ending:
            self._end_conversations()
            self.go_on()

    def _end_conversations(self) -> None:
        self._is_ending = True
        if self._timer is not None:
            self._timer.cancel()
        self._acceptor.on_channel = self._on_late_channel
        self._sink.end_conversations()
        self._wait_patiently()

    def _on_late_channel(self, channel: Channel) -> None:
        """One from the queue that could not be accepted before, for want of descriptors."""
        channel.end_receiving()
        self._sink.on_channel(channel)

    def go_on(self) -> None:
        """Something has moved: is that the end?"""
        if self._acceptor.accept_queued() and self._sink.drain():
            self._on_end(self._sink.bytes_unwritten())

    def _wait_patiently(self) -> None:
        """Every so often: has anything been written? If not, it never will be."""
        written = self._sink.bytes_written()
        if written == self._written:
            self.give_up()
            return
        self._written = written
        self._timer = self._loop.call_later(STOP_PATIENCE_S, self._wait_patiently)

    def give_up(self) -> None:
        """End now, whatever is lost."""
        self._on_end(self._sink.bytes_unwritten())

    def close(self) -> None:
        """Wait for nothing any more, and leave no path of ours behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.unlink()
