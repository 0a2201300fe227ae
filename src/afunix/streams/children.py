"""Processes that we have started, and their ends: one SIGCHLD for any number of them, wait4(2) for each.

For many that live shortly; a pidfd for each (`process_end`) would cost three calls more. What they leave behind becomes
ours too (`kernel.descendants`): nobody is told of it, but it is waited for, and at a stop it can be ended. How processes
begin, and what their end means, is not known here.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from ..kernel.descendants import adopt_orphans, own_children


class Children:
    """`on_ended(pid, status)`, with the status as os.waitpid has it, for each that was `add`ed; then `on_quiet()`, once
    all that have ended were told. One at a time, in the main thread's loop of a process that has no other children but
    those that it began with (a shell's that became us): they are waited for, and never ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_ended: Callable[[int, int], None],
        on_quiet: Callable[[], None] = lambda: None,
    ) -> None:
        self._pids: set[int] = set()
        self._loop = loop
        self._on_ended = on_ended
        self._on_quiet = on_quiet
        self._before = set(own_children())
        adopt_orphans()
        # Also where it was ignored, for then nobody could be waited for.
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.call_soon(self._reap)  # some of those before may have ended before anybody listened

    def add(self, pid: int) -> None:
        """In the same turn of the loop in which it was started."""
        self._pids.add(pid)

    def orphans(self) -> list[int]:
        """Those that were not `add`ed: what a process has left behind when it ended. A look at all of /proc, so it is for a
        stop.
        """
        if not _has_any():
            return []
        return [pid for pid in own_children() if pid not in self._pids and pid not in self._before]

    def close(self) -> list[int]:
        """End every one that is left, by SIGKILL, and wait for it; those who were ended so and had been `add`ed are told.
        The pids of those who may not be killed (EPERM: sudo(8)): they are left behind.
        """
        self._loop.remove_signal_handler(signal.SIGCHLD)
        spared: set[int] = set(self._before)
        while left := [pid for pid in own_children() if pid not in spared]:  # each may leave others behind
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except PermissionError:
                    spared.add(pid)
                else:
                    self._wait_for(pid)
        adopt_orphans(adopts=False)
        return sorted(spared - self._before)

    def _reap(self) -> None:
        while pid := _one_that_has_ended():
            self._wait_for(pid)
        self._on_quiet()

    def _wait_for(self, pid: int) -> None:
        status = os.waitpid(pid, 0)[1]
        if pid in self._pids:
            self._pids.remove(pid)
            self._on_ended(pid, status)


def _has_any() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _one_that_has_ended() -> int:
    """The pid of a child that can be waited for, 0 if there is none. It still is one then, so that its pid is nobody
    else's.
    """
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return 0 if ended is None else ended.si_pid
