"""The last resort for an output that may wait: one thread that blocks in write(2) so that nobody else does.

For `output`, where the kernel offers nothing better, and in a file of its own because importing `threading`
costs a millisecond at start, and most runs never come here. What to write is handed over whole; that it has
been written, or could not be, is found out later.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Sequence

_EVENTFD_FULL = 0xFFFF_FFFF_FFFF_FFFE


class ThreadedWriter:
    """One piece of work at a time for one thread. Borrows `fd`, which stays open until all is written.

    `ready_fd` is an eventfd that polls POLLOUT while the thread is idle; it belongs to this object. `pending`
    counts the bytes that were taken and are not written yet. A daemon thread: a write that never returns does
    not keep the process.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.ready_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.pending = 0
        self._work: bytes | None = b""
        self._error: OSError | None = None
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="afunix-output", daemon=True)
        self._thread.start()

    def try_write(self, buffers: Sequence[bytes | memoryview]) -> int:
        """How many bytes were taken: all of them (copied), or 0 while the thread is still at the last ones.

        Raises:
            OSError: what the thread met with earlier ones, as write(2); their rest is still `pending`.
        """
        with self._wake:
            if self._error is not None:
                raise self._error
            if self._work:
                return 0
            self._work = b"".join(buffers)
            self.pending = len(self._work)
            if self.pending:
                os.eventfd_write(self.ready_fd, _EVENTFD_FULL)  # not writable: poll waits
                self._wake.notify()
            return self.pending

    def is_idle(self) -> bool:
        """Has all that was taken been written?

        Raises:
            OSError: as `try_write`.
        """
        with self._wake:
            if self._error is not None:
                raise self._error
            return not self._work

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are the main thread's
        while True:
            with self._wake:
                while self._work == b"":
                    self._wake.wait()
                if self._work is None:
                    os.close(self.ready_fd)
                    return
                view = memoryview(self._work)
            self._write(view)

    def _write(self, view: memoryview) -> None:
        error = None
        try:
            while view:
                written = self._write_some(view)
                view = view[written:]
                self.pending -= written
        except OSError as failure:
            error = failure
        with self._wake:
            self._error = error
            if self._work is not None:
                self._work = b""
                os.eventfd_read(self.ready_fd)  # writable again

    def _write_some(self, view: memoryview) -> int:
        """What a pipe that polls writable takes at once, so that `pending` is exact also when nobody reads on.

        Wait here: for write(2) does not, if somebody else made the open file non-blocking.
        """
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.poll()
        try:
            return os.write(self._fd, view[: select.PIPE_BUF])
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Wait for an idle thread to go; one that is stuck in its write is left behind."""
        with self._wake:
            is_stuck = bool(self._work)
            self._work = None
            self._wake.notify()
        if not is_stuck:
            self._thread.join()
