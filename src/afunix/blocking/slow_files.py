"""Files that make whoever opens or reads them wait: a FIFO without another end, a terminal, a pipe that stays open.

Both waits end with the run's deadline or a signal. open(2) of a FIFO or device cannot be polled, so a thread makes
that call; one that comes back when nobody wants it any more closes what it got. Whose file it is, and what is said when
the time is over, is the caller's.
"""

from __future__ import annotations

import os
import select
import stat

from .interruptible import Interruptible

_PIECE_BYTES = 1 << 16


def open_file(path: str, flags: int, mode: int, waits: Interruptible) -> int:
    """As open(2), whose descriptor the caller owns; a FIFO is opened once somebody has its other end open.

    Raises:
        OSError, ValueError: it cannot be opened.
        DeadlinePassed, Interrupted: that was first. The process has a thread more, until the FIFO gets its other end.
    """
    return _Opening(path, flags, mode).wait(waits) if _may_wait(path) else os.open(path, flags, mode)


def read_to_end(fd: int, most: int, waits: Interruptible) -> bytes:
    """All that is still to be read from `fd`, which stays the caller's; of more than `most` bytes one more than that.

    Raises:
        OSError: as read(2).
        DeadlinePassed, Interrupted: that was first; what was read until then is lost.
    """
    data = bytearray()
    while len(data) <= most:
        waits.until(fd, select.POLLIN)
        try:
            piece = os.read(fd, min(_PIECE_BYTES, most + 1 - len(data)))
        except BlockingIOError:
            continue  # another reader of it was quicker
        if not piece:
            break
        data += piece
    return bytes(data)


def _may_wait(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False  # open(2) says why
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


class _Opening:
    """One open(2) in a thread of its own."""

    def __init__(self, path: str, flags: int, mode: int) -> None:
        from threading import Lock, Thread  # late: hardly any run opens a FIFO

        self._call = (path, flags, mode)
        self._lock = Lock()
        self._is_wanted = True
        self._fd: int | None = None
        self._error: OSError | None = None
        self._done = os.eventfd(0, os.EFD_CLOEXEC)
        Thread(target=self._run, name="afunix-open", daemon=True).start()

    def _run(self) -> None:
        fd, error = None, None
        try:
            fd = os.open(*self._call)
        except OSError as found:
            error = found
        with self._lock:
            if self._is_wanted:
                self._fd, self._error = fd, error
                os.eventfd_write(self._done, 1)
            elif fd is not None:
                os.close(fd)

    def wait(self, waits: Interruptible) -> int:
        try:
            waits.until(self._done, select.POLLIN)
        except BaseException:
            self._give_up()
            raise
        os.close(self._done)
        if self._fd is None:
            assert self._error is not None
            raise self._error
        return self._fd

    def _give_up(self) -> None:
        with self._lock:
            self._is_wanted = False
            os.close(self._done)
            if self._fd is not None:
                os.close(self._fd)
