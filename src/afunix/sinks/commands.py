"""`--exec`: every client gets a process of its own, with the socket on its 0 and 1. The sink that reads nothing itself.

Our copy of the socket is closed as soon as the process has it, so that its end is the conversation's end; the client's
place is free when the process has ended, which SIGCHLD tells. There are never more than `limit` of them: who comes beyond
that, or while the kernel has no process to give, waits here with its bytes unread.

A stop lets the processes finish first: their clients can send no more (SHUT_RD), so that a command that reads to the end
comes to it. Who is there after GRACE_S gets SIGTERM, with all that it has started, and at `close` SIGKILL; so does what
commands have left behind, wherever it has gone. Where the kernel lends us no copy of their sockets (`kernel.child_input`)
we keep our own, and a client sees the end only when its process has ended.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from ..kernel.bridged_socket import refuse_more
from ..kernel.channel import Channel
from ..kernel.child_input import can_end_input, end_input, identity_of
from ..model.framing import PieceEnd
from ..streams.children import Children

GRACE_S = 2.0
"""How long a process may go on, at a stop, after the end of its client's input, before it is told to end."""

_RETRY_S = 0.2
_SHORTAGE = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class Starter(Protocol):
    """What begins a process: `kernel.spawning.Command`, for one."""

    numbers: tuple[int, ...]
    """The socket's in the process, the one that it reads from first."""

    def start(self, fd: int, environment: dict[bytes, bytes]) -> int:
        """The pid; `fd` stays the caller's. Raises OSError."""


class Child:
    """One process and its client; `touched` is there for the idle watch, which does not apply."""

    __slots__ = ("channel", "identity", "pid", "touched", "was_told")

    def __init__(self, pid: int, channel: Channel, identity: tuple[int, int]) -> None:
        self.pid = pid
        self.channel = channel
        self.identity = identity
        self.was_told = False
        self.touched = 0.0


class Commands:
    """Owns the channels it is given until their process has its copy. `cut` counts the processes that a stop has ended, and
    `left` are the pids of those that it could not, for they have become somebody else's (sudo(8)).

    `environment_of(channel)` is the whole of what the process is told. `on_started(channel, fd, pid)` comes when it has
    `fd`, and `on_closed(fd)` when our copy is closed; `on_ended(channel, pid, status)`, with the status as os.waitpid
    has it, and then `on_finished(channel, end)`, when the process has ended. `on_failure(channel, error)`: there is none to
    be had for that client, which is closed. `on_shortage(error)`: there is none to be had for now; `on_relief()`: there is
    again.
    """

    def __init__(
        self,
        command: Starter,
        loop: asyncio.AbstractEventLoop,
        *,
        limit: int,
        environment_of: Callable[[Channel], dict[bytes, bytes]],
        on_finished: Callable[[Channel, PieceEnd], None],
        on_started: Callable[[Channel, int, int], None] = lambda channel, fd, pid: None,
        on_closed: Callable[[int], None] = lambda fd: None,
        on_ended: Callable[[Channel, int, int], None] = lambda channel, pid, status: None,
        on_failure: Callable[[Channel, OSError], None] = lambda channel, error: None,
        on_shortage: Callable[[OSError], None] = lambda error: None,
        on_relief: Callable[[], None] = lambda: None,
    ) -> None:
        self.on_progress: Callable[[], None] = lambda: None
        self.children: dict[int, Child] = {}
        self.waiting: deque[Channel] = deque()
        self.cut = 0
        self.left: tuple[int, ...] = ()
        self._command = command
        self._loop = loop
        self._limit = limit
        self._environment_of = environment_of
        self._on_finished = on_finished
        self._on_started = on_started
        self._on_closed = on_closed
        self._on_ended = on_ended
        self._on_failure = on_failure
        self._on_shortage = on_shortage
        self._on_relief = on_relief
        self._is_ending = False
        self._is_short = False
        self._ended = 0
        self._unread = 0
        self._retry: asyncio.TimerHandle | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._keeps_copies = not can_end_input()
        self._told_orphans: set[int] = set()
        self._ends = Children(loop, self._on_child_end, self._on_quiet)

    def on_channel(self, channel: Channel) -> None:
        if self.waiting or len(self.children) >= self._limit:
            self.waiting.append(channel)
        else:
            self._start(channel)

    # Beginning

    def _start(self, channel: Channel) -> None:
        fd = channel.fd
        try:
            pid = self._command.start(fd, self._environment_of(channel))
        except OSError as error:
            if error.errno in _SHORTAGE:
                self._wait_for_better_times(channel, error)
            else:
                self._unread += channel.queued()
                self._on_failure(channel, error)
                channel.close()
                self._on_finished(channel, PieceEnd.EOF)
            return
        self._ends.add(pid)
        child = self.children[pid] = Child(pid, channel, identity_of(fd))
        self._on_started(channel, fd, pid)
        if not self._keeps_copies:
            self._close_copy(channel)
        if self._is_ending:
            self._loop.call_later(GRACE_S, self._tell, child)

    def _close_copy(self, channel: Channel) -> None:
        fd = channel.fd
        channel.close()
        self._on_closed(fd)

    def _wait_for_better_times(self, channel: Channel, error: OSError) -> None:
        self.waiting.appendleft(channel)
        if not self._is_short:
            self._is_short = True
            self._on_shortage(error)
        self._retry = self._loop.call_later(_RETRY_S, self._try_again)

    def _try_again(self) -> None:
        """One at least ends the shortage: more are started as others end, or with it."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        while self.waiting and self._retry is None and len(self.children) < self._limit:
            self._start(self.waiting.popleft())
        if self._is_short and self._retry is None:
            self._is_short = False
            self._on_relief()

    # Ending

    def _on_child_end(self, pid: int, status: int) -> None:
        self._end(self.children.pop(pid), status)

    def _on_quiet(self) -> None:
        self._try_again()
        self.on_progress()

    def _end(self, child: Child, status: int) -> None:
        self._ended += 1
        if child.was_told and os.WIFSIGNALED(status):
            self.cut += 1
        if self._keeps_copies:
            self._close_copy(child.channel)
        self._on_ended(child.channel, child.pid, status)
        self._on_finished(child.channel, PieceEnd.EOF)

    def _signal(self, child: Child, number: signal.Signals) -> bool:
        """To its whole group: a shell's pipeline is several processes. False: it has become somebody else (sudo), and does
        not take signals from us.
        """
        child.was_told = True
        try:
            os.killpg(child.pid, number)
        except PermissionError:
            return False
        except ProcessLookupError:
            pass  # it has ended, and is told soon
        return True

    # What a server asks of a sink

    def connected(self) -> Iterable[Child]:
        return self.children.values()

    def drop(self, client: Child, end: PieceEnd) -> None:
        self._signal(client, signal.SIGTERM)

    def end_conversations(self) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        for channel in self.waiting:
            refuse_more(channel)
        for child in tuple(self.children.values()):
            if self._keeps_copies:
                refuse_more(child.channel)
            else:
                end_input(child.pid, self._command.numbers[0], child.identity)
            self._loop.call_later(GRACE_S, self._tell, child)
        self._grace = self._loop.call_later(GRACE_S, self._tell_orphans)

    def _tell(self, child: Child) -> None:
        if self.children.get(child.pid) is child:
            self._signal(child, signal.SIGTERM)

    def _tell_orphans(self) -> None:
        """What commands have left behind, each once, and also what they leave behind from now on."""
        for pid in self._ends.orphans():
            if pid not in self._told_orphans:
                self._told_orphans.add(pid)
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGTERM)
        self._grace = self._loop.call_later(GRACE_S, self._tell_orphans)

    def drain(self) -> bool:
        return not self.children and not self.waiting and not self._ends.orphans()

    def bytes_written(self) -> int:
        """Processes that have ended: as long as some do, the others are waited for."""
        return self._ended

    def bytes_unwritten(self) -> int:
        """Of those who wait for a process, or got none. What a process has read is its own business."""
        return self._unread + sum(channel.queued() for channel in self.waiting)

    def stalled_s(self) -> float:
        return 0.0

    def close(self) -> None:
        """End every process that is left, and wait for it, but for `left`."""
        for timer in (self._retry, self._grace):
            if timer is not None:
                timer.cancel()
        while self.waiting:
            channel = self.waiting.popleft()
            channel.close()
            self._on_finished(channel, PieceEnd.EOF)
        for child in self.children.values():
            child.was_told = True
        self.left = tuple(self._ends.close())
        for child in tuple(self.children.values()):
            child.channel.close()
            self._on_finished(child.channel, PieceEnd.EOF)
        self.children.clear()
