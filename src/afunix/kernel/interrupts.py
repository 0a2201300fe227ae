"""Signals for a driver that polls: the first of each kind is noted and wakes the poll, the second one kills.

A signal that was ignored at start (nohup, a shell's `&`) stays ignored. The wake-up descriptors are put above
10, so that the first socket of a run is 3 in everybody's trace.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FIRST_FD = 10


class Interrupted(Exception):
    """A signal came while something was being waited for; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interrupts:
    """Catches `signals` between `__enter__` and `__exit__`. Main thread only, one at a time (signal(7))."""

    def __init__(self, signals: Sequence[int] = ENDING) -> None:
        self.number = 0
        """The first signal that came; 0: none yet."""
        self.fd = -1
        """Readable once a signal came."""
        self._write_fd = -1
        self._signals = signals
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Interrupts:
        """Raises: AfunixError, if RLIMIT_NOFILE is too low. OSError: no descriptor is free."""
        self.fd, self._write_fd = _high_pipe()
        self._wakeup_before = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in self._signals:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.number = number

    def check(self) -> None:
        """Raises: Interrupted, if a signal came."""
        if self.number:
            raise Interrupted(self.number)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self.fd)
        os.close(self._write_fd)


def _high_pipe() -> tuple[int, int]:
    """A non-blocking, close-on-exec pipe that leaves the low numbers to sockets."""
    low = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        read_fd, write_fd = map(_move_up, low)
    finally:
        for fd in low:
            os.close(fd)
    return read_fd, write_fd


def _move_up(fd: int) -> int:
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD)
    except OSError:
        from .limits import require_descriptors  # late: hardly ever needed

        require_descriptors(_FIRST_FD + 2)  # EINVAL, which says nothing, is RLIMIT_NOFILE
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD)
