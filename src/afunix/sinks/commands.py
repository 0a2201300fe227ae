"""`--exec`: every client gets a process of its own, with the socket on its 0 and 1. The sink that reads nothing itself.

Our copy of the socket is closed as soon as the process has it, so that its end is the conversation's end; the client's
place is free when the process has ended, which SIGCHLD tells. A stop asks the processes to end (SIGTERM, to all that they
have started), and `close` makes them (SIGKILL).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress

from ..kernel.channel import Channel
from ..kernel.spawning import Command
from ..model.framing import PieceEnd


class Child:
    """One process and its client; `touched` is there for the idle watch, which does not apply."""

    __slots__ = ("channel", "pid", "touched")

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel
        self.touched = 0.0


class Commands:
    """Owns the channels it is given until their process has its copy.

    `environment_of(channel)` is the whole of what the process is told. `on_finished(channel, end)` comes when the process
    has ended, `on_ended(channel, pid, status)` before it with the status as os.waitpid has it, and `on_failure(channel,
    error)` if there was no process to be had: that client is closed.
    """

    def __init__(
        self,
        command: Command,
        loop: asyncio.AbstractEventLoop,
        *,
        environment_of: Callable[[Channel], dict[bytes, bytes]],
        on_finished: Callable[[Channel, PieceEnd], None],
        on_ended: Callable[[Channel, int, int], None] = lambda channel, pid, status: None,
        on_failure: Callable[[Channel, OSError], None] = lambda channel, error: None,
    ) -> None:
        self.on_progress: Callable[[], None] = lambda: None
        self.children: dict[int, Child] = {}
        self._command = command
        self._loop = loop
        self._environment_of = environment_of
        self._on_finished = on_finished
        self._on_ended = on_ended
        self._on_failure = on_failure
        self._is_ending = False
        self._ended = 0
        loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def on_channel(self, channel: Channel) -> None:
        try:
            pid = self._command.start(channel.fd, self._environment_of(channel))
        except OSError as error:
            self._on_failure(channel, error)
            self._on_finished(channel, PieceEnd.EOF)
            channel.close()
            return
        self.children[pid] = Child(pid, channel)
        channel.close()
        if self._is_ending:
            self._signal(pid, signal.SIGTERM)

    def _reap(self) -> None:
        """All that have ended since: several may, for one SIGCHLD. Others' children are none of ours to wait for."""
        for pid in tuple(self.children):
            with suppress(ChildProcessError):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    self._end(self.children.pop(pid), status)
        self.on_progress()

    def _end(self, child: Child, status: int) -> None:
        self._ended += 1
        self._on_ended(child.channel, child.pid, status)
        self._on_finished(child.channel, PieceEnd.EOF)

    def _signal(self, pid: int, number: signal.Signals) -> None:
        """To its whole group: a shell's pipeline is several processes."""
        with suppress(ProcessLookupError):
            os.killpg(pid, number)

    def connected(self) -> Iterable[Child]:
        return self.children.values()

    def drop(self, client: Child, end: PieceEnd) -> None:
        self._signal(client.pid, signal.SIGTERM)

    def end_conversations(self) -> None:
        self._is_ending = True
        for pid in self.children:
            self._signal(pid, signal.SIGTERM)

    def drain(self) -> bool:
        return not self.children

    def bytes_written(self) -> int:
        """Processes that have ended: as long as some do, the others are waited for."""
        return self._ended

    def bytes_unwritten(self) -> int:
        """What a process has read, and what it makes of that, is its own business."""
        return 0

    def stalled_s(self) -> float:
        return 0.0

    def close(self) -> None:
        """End every process that is left, and wait for it; nobody is left behind."""
        self._loop.remove_signal_handler(signal.SIGCHLD)
        for pid in self.children:
            self._signal(pid, signal.SIGKILL)
        for child in tuple(self.children.values()):
            with suppress(ChildProcessError):
                self._end(child, os.waitpid(child.pid, 0)[1])
        self.children.clear()
