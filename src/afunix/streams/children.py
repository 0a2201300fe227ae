"""Processes that we have started, and their ends: one SIGCHLD for any number of them, wait4(2) for each.

For many that live shortly; a pidfd for each (`process_end`) would cost three calls more. How they begin, and what their end
means, is not known here.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable


class Children:
    """`on_ended(pid, status)`, with the status as os.waitpid has it, for each that was `add`ed; then `on_quiet()`, once
    all that have ended were told. Processes of others are left alone. One at a time, in the main thread's loop.
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
        # Also where it was ignored, for then nobody could be waited for.
        loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def add(self, pid: int) -> None:
        """In the same turn of the loop in which it was started."""
        self._pids.add(pid)

    def forget(self, pid: int) -> None:
        """It is not waited for any more."""
        self._pids.discard(pid)

    def close(self) -> None:
        """Wait for all that are left, which is to be soon: whoever calls this has seen to it."""
        self._loop.remove_signal_handler(signal.SIGCHLD)
        for pid in tuple(self._pids):
            self._wait_for(pid)

    def _reap(self) -> None:
        while (pid := _one_that_has_ended()) in self._pids:
            self._wait_for(pid)
        if pid:  # somebody else's, who waits for it: it would come first again and again
            for pid in tuple(self._pids):
                self._wait_for(pid, os.WNOHANG)
        self._on_quiet()

    def _wait_for(self, pid: int, options: int = 0) -> None:
        try:
            ended, status = os.waitpid(pid, options)
        except ChildProcessError:  # somebody waited for all there are
            ended, status = pid, 0
        if ended:
            self._pids.remove(pid)
            self._on_ended(pid, status)


def _one_that_has_ended() -> int:
    """The pid of a child that can be waited for, 0 if there is none. It still is one then, so that its pid is nobody
    else's.
    """
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return 0 if ended is None else ended.si_pid
