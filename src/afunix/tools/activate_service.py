"""One run of `activate` without --accept: a command that gets the listeners when somebody comes, and again when it ended.

Nobody is accepted here. While the command runs only its end is waited for; who comes meanwhile is its own, and who comes
after it waits in the queue, which is ours as well, for the next one. A listener that the command has shut down needs no
command any more, and where none is left that does, the run is over. What a command leaves behind when it ends is let alone
until the run is over: then it is told to end, and nothing of it outlives us.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..kernel.activating import ActivatedCommand, is_shut_down
from ..kernel.listener import Listener
from ..kernel.queue_sight import look_at
from ..kernel.unanswered import Unanswered, turn_away
from ..model.activated import Begun, Happening, NotBegun, Orphaned, Over, Signalled
from ..model.errors import AfunixError
from ..model.escaping import quote
from ..model.restarting import Queue, Restarts, has_moved
from ..streams.children import Children
from ..streams.readiness import Readiness
from ..streams.service_manager import ServiceManager
from ..streams.signals import watch_signals
from .settings import Cause

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCONT)
"""To the command itself, as `systemctl reload` has it, and not to what that has started."""

HANG_UP_S = 5.0
"""A command that ends so soon after SIGHUP did not take it for a wish to reload, so it stops us as well."""

ORPHANS_S = 5.0
"""How long what a command has left behind may take to end, where no time is given for the command itself."""

_MEANT_FOR_IT = (signal.SIGUSR1, signal.SIGUSR2)
"""What somebody sends for the command's sake alone, so that it is worth a word where none runs."""

SIGNALS = (*STOP_SIGNALS, *PASSED_ON)


@dataclass(slots=True)
class ActivateResult:
    """How a run ended. `code` is the command's last one, None if it never ran; `unanswered` is who waited for the next and
    got none. `is_forced`: a second signal killed the command; `is_cut`: it was killed when its time had passed. `left` are
    the pids of those who may not be killed, the command or what it has left behind: they live on.
    """

    cause: Cause = Cause.SIGNAL
    signal_number: int = 0
    is_forced: bool = False
    is_cut: bool = False
    fault: Exception | None = None
    code: int | None = None
    unanswered: Unanswered = field(default_factory=Unanswered)
    left: tuple[int, ...] = ()
    left_behind: list[AfunixError] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Child:
    """The command that runs. `queues` is who waited when it began, listener by listener."""

    pid: int
    began_at: float
    queues: list[Queue | None]


class ActivateService:
    """The listeners are their owner's, but for the names, which go at the stop. `tell` is told what happens. At the end
    of a run nothing is left of what it has started, but for `ActivateResult.left`.
    """

    def __init__(
        self,
        command: ActivatedCommand,
        listeners: Sequence[Listener],
        loop: asyncio.AbstractEventLoop,
        *,
        environment: dict[bytes, bytes],
        is_eager: bool = False,
        drain_s: float | None = None,
        tell: Callable[[Happening], None] = lambda happening: None,
    ) -> None:
        """`is_eager`: start at once, and again when it has failed. `drain_s`: how long a command may take
        to end at a stop, with what it leaves behind; None: as long as it takes, and ORPHANS_S for that.
        """
        self._command = command
        self._listeners = listeners
        self._loop = loop
        self._environment = environment
        self._is_eager = is_eager
        self._drain_s = drain_s
        self._tell = tell
        self._result = ActivateResult()
        self._queues: Readiness[Listener] = Readiness(
            loop, lambda listener, events: self._on_client(listener)
        )
        self._watched: list[int] = []
        self._manager = ServiceManager(loop, [str(listener.address) for listener in listeners], lambda: None)
        self._child: _Child | None = None
        self._children = Children(loop, self._on_end, self._on_quiet)
        self._restarts = Restarts()
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self._is_ending = False
        self._is_closing = False
        self._group_told = 0
        self._told: set[int] = set()
        self._hung_up_at = float("-inf")

    def run(self, on_ready: Callable[[], None], take_signals: Callable[[], object]) -> ActivateResult:
        """To the end. `take_signals()` lets those come that waited until somebody listens."""
        self._loop.set_exception_handler(self._on_fault)
        watch_signals(self._loop, SIGNALS, self._on_signal)
        take_signals()
        try:
            on_ready()
            self._manager.ready()
            if self._is_eager:
                self._start("--now")
            else:
                self._wait_for()
            self._loop.run_forever()
        finally:
            self._close()
        return self._result

    # Waiting and starting

    def _wait_for(self, cause: str = "") -> None:
        """For whoever comes to a listener that is not shut down. There is no `cause` for that."""
        for listener in self._listeners:
            if not is_shut_down(listener.fd):
                self._queues.add(listener.fd, listener)
                self._watched.append(listener.fd)

    def _wait_no_more(self) -> None:
        while self._watched:
            self._queues.remove(self._watched.pop())

    def _on_client(self, listener: Listener) -> None:
        self._wait_no_more()
        what = "a datagram came to" if listener.type == socket.SOCK_DGRAM else "somebody connected to"
        self._start(f"{what} {quote(str(listener.address))}")

    def _start(self, cause: str) -> None:
        fds = [listener.fd for listener in self._listeners]
        self._stop_timer()
        queues = self._prepare_listeners()
        now = self._loop.time()
        try:
            pid = self._command.start_with(fds, self._environment)
        except OSError as error:
            self._restarts = self._restarts.after_end(now, 0.0, is_good=False)
            reason, pause_s = error.strerror or str(error), self._restarts.pause_s
            self._tell(NotBegun(self._command.path, error.errno or 0, reason, pause_s))
            self._go_on(has_failed=True)
            return
        self._children.add(pid)
        self._child = _Child(pid, now, queues)
        self._tell(Begun(pid, self._command.path, cause))

    def _prepare_listeners(self) -> list[Queue | None]:
        """They block, whatever the command before has made of them: the flag is one for all who have them open. Those that
        are not ours stay as their owner has them.
        """
        for listener in self._listeners:
            if listener.is_ours:
                os.set_blocking(listener.fd, True)
        return [look_at(listener) for listener in self._listeners]

    # Its end

    def _on_end(self, pid: int, status: int) -> None:
        assert self._child is not None
        child, self._child = self._child, None
        code = self._result.code = os.waitstatus_to_exitcode(status)
        if self._is_closing:
            return
        now = self._loop.time()
        lived_s = now - child.began_at
        is_hung_up = now - self._hung_up_at < HANG_UP_S
        is_over = all(is_shut_down(listener.fd) for listener in self._listeners)
        is_last = self._is_stopping or is_hung_up or is_over
        served = None if is_last else self._has_served(child.queues)
        self._restarts = self._restarts.after_end(now, lived_s, is_good=code == 0, has_served=served)
        self._tell(Over(pid, code, lived_s, 0.0 if is_last else self._restarts.pause_s, is_last, served))
        if is_hung_up and not self._is_stopping:
            self._begin_stop(signal.SIGHUP)
        elif is_last:
            self._result.cause = Cause.SIGNAL if self._is_stopping else Cause.OWN_REASON
            self._end_orphans()
        else:
            self._go_on(has_failed=code != 0)

    def _has_served(self, before: list[Queue | None]) -> bool | None:
        """Has it taken anybody from any queue?"""
        moves = [
            has_moved(then, look_at(listener)) for then, listener in zip(before, self._listeners, strict=True)
        ]
        return True if True in moves else None if None in moves else False

    def _go_on(self, *, has_failed: bool) -> None:
        again: Callable[[str], None] = self._wait_for
        cause = ""
        if has_failed and self._is_eager:
            again, cause = self._start, "it has failed"
        if self._restarts.pause_s:
            self._timer = self._loop.call_later(self._restarts.pause_s, again, cause)
        else:
            again(cause)

    # The stop

    def _on_signal(self, number: signal.Signals) -> None:
        if number not in STOP_SIGNALS:
            self._pass_on(number)
        elif self._is_stopping:
            self._result.signal_number = number
            self._result.is_forced = True
            self._cut_short()
        else:
            self._begin_stop(number)

    def _pass_on(self, number: signal.Signals) -> None:
        if self._child is not None:
            # It was not waited for yet, so its pid is nobody else's.
            is_permitted = _may(lambda: os.kill(self._pid, number))
            self._tell(Signalled(number, self._pid, is_permitted))
            if number == signal.SIGHUP:
                self._hung_up_at = self._loop.time()
        elif number == signal.SIGHUP:
            self._begin_stop(number)
        elif number in _MEANT_FOR_IT:
            self._tell(Signalled(number, 0))

    def _begin_stop(self, number: signal.Signals) -> None:
        """The names go at once, for a successor; the queues stay open to the command until it has ended."""
        self._is_stopping = True
        self._result.signal_number = number
        self._manager.stopping(number.name)
        self._unlink()
        self._stop_timer()
        self._wait_no_more()
        if self._child is None:
            self._end_orphans()
            return
        is_permitted = self._signal_group(number)
        self._group_told = self._pid if is_permitted and number == signal.SIGTERM else 0
        self._tell(Signalled(number, self._pid, is_permitted))
        if self._drain_s is not None:
            self._timer = self._loop.call_later(self._drain_s, self._cut)

    def _cut(self) -> None:
        """The time has passed: for the command, or for what it has left behind."""
        self._result.is_cut = self._child is not None
        self._cut_short()

    def _cut_short(self) -> None:
        """Its end by SIGKILL is waited for, unless we may not kill it: then it is left behind."""
        if self._child is None:
            self._finish()
        elif not self._signal_group(signal.SIGKILL):
            self._tell(Signalled(signal.SIGKILL, self._pid, is_permitted=False))
            self._loop.stop()

    @property
    def _pid(self) -> int:
        return 0 if self._child is None else self._child.pid

    def _signal_group(self, number: signal.Signals) -> bool:
        """The command and all that it has started: a shell's pipeline is several processes. False: we may not."""
        return self._child is None or _may(lambda: os.killpg(self._pid, number))

    # What commands have left behind

    def _end_orphans(self) -> None:
        """No command runs, and none will. Who is there when the time has passed is killed by `_close`."""
        is_hurried = self._result.is_forced or self._result.is_cut
        orphans = [] if is_hurried else self._children.orphans()
        self._is_ending = bool(orphans)
        if not orphans:
            self._finish()
            return
        self._tell_to_end([pid for pid in orphans if pid not in self._told])
        if self._timer is None:
            time_s = ORPHANS_S if self._drain_s is None else self._drain_s
            self._timer = self._loop.call_later(time_s, self._cut)

    def _tell_to_end(self, orphans: Sequence[int]) -> None:
        """Each once, since a second SIGTERM has a meaning of its own to many: so not those who had it with their group."""
        self._told.update(orphans)
        fresh = tuple(pid for pid in orphans if not self._group_told or _group_of(pid) != self._group_told)
        for pid in fresh:
            _may(partial(os.kill, pid, signal.SIGTERM))
        if fresh:
            self._tell(Orphaned(signal.SIGTERM, fresh))

    def _on_quiet(self) -> None:
        """Some have ended, and may have left others behind."""
        if self._is_ending:
            self._end_orphans()

    def _finish(self) -> None:
        """Nobody serves any more, or for a moment only."""
        self._is_ending = False
        for listener in self._listeners:
            self._result.unanswered = self._result.unanswered.with_those(turn_away(listener))
        self._unlink()
        self._loop.stop()

    def _on_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What no callback expected: end with it. The first one is the cause."""
        fault = context.get("exception")
        if self._result.fault is None:
            self._result.fault = fault if isinstance(fault, Exception) else RuntimeError(context["message"])
            self._result.cause = Cause.FAULT
        loop.stop()

    def _unlink(self) -> None:
        for listener in self._listeners:
            obstacle = listener.unlink()
            if obstacle is not None:
                self._result.left_behind.append(obstacle)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        """Nobody is left behind, whatever has happened, but for those whom we may not end."""
        self._is_closing = True
        self._stop_timer()
        self._manager.close()
        self._queues.close()
        orphans = set(self._children.orphans())
        self._result.left = tuple(self._children.close())
        killed = tuple(sorted(orphans.difference(self._result.left)))
        if killed:
            self._tell(Orphaned(signal.SIGKILL, killed))
        self._unlink()


def _group_of(pid: int) -> int:
    """0: it is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _may(send: Callable[[], None]) -> bool:
    """False: the command is another user's by now (EPERM), such as with sudo(8)."""
    try:
        with suppress(ProcessLookupError):
            send()
    except PermissionError:
        return False
    return True
