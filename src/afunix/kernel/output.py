"""An inherited descriptor as the place where bytes end: written to without waiting, its flags never touched.

STDOUT's O_NONBLOCK flag belongs to everybody who holds that open file, the user's shell included, so it is
not set. What is done instead depends on what the descriptor is:

    socket                    sendmsg(2) with MSG_DONTWAIT
    pipe, FIFO, terminal      an open file of our own through /proc/self/fd/N, non-blocking
    where that is refused     (EACCES after a change of uid) pwritev2(2) with RWF_NOWAIT: pipes, on newer kernels
    where that is too         a thread that writes while we go on (`threaded_writer`)
    regular file, /dev/null   a plain write: it never waits for a reader

Splicing into a pipe is direct; into a file it goes through one private pipe. Nothing here knows about lines.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .descriptor_kind import DescriptorKind
from .fallbacks import is_forced
from .wrapping import as_socket

if TYPE_CHECKING:
    from .threaded_writer import ThreadedWriter

PIPE_BYTES = 1 << 20
"""What our one grown pipe asks for: /proc/sys/fs/pipe-max-size for an ordinary user."""

MAX_BUFFERS = 1024
"""IOV_MAX: what one writev(2) takes."""

SPLICE_FLAGS = getattr(os, "SPLICE_F_NONBLOCK", 2) | getattr(os, "SPLICE_F_MOVE", 1)
"""The pipe is not waited for. Whether the socket at the other end is, its own O_NONBLOCK decides."""

_NOT_SPLICEABLE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class Output:
    """Where bytes go. `fd` stays its owner's; `close()` closes only what was opened here.

    `wait_fd` is what a driver polls for POLLOUT after a write or splice that took nothing; it is None where
    that never happens. `kind` says what it is, `can_splice` whether `try_splice` is worth a try.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.kind = DescriptorKind.of(fd)
        self._own_fd = -1
        self._conduit: _Conduit | None = None
        self._thread: ThreadedWriter | None = None
        self._socket: socket.SocketType | None = None
        self.wait_fd: int | None = None
        self.can_splice = self._can_splice()
        self.try_write: Callable[[Sequence[bytes | memoryview]], int]
        """How many bytes of the buffers (at most MAX_BUFFERS) were taken, from the first on; 0: not now.

        Raises OSError: BrokenPipeError when the reader is gone, ENOSPC and the like from a file.
        """
        self._choose_writer()

    def _choose_writer(self) -> None:
        if self.kind in (DescriptorKind.FILE, DescriptorKind.DEVICE):
            self.try_write = self._write_plain
            return
        self.wait_fd = self.fd
        if self.kind is DescriptorKind.SOCKET:
            self._socket = as_socket(os.dup(self.fd))
            self.try_write = self._write_socket
        elif self._reopen():
            self.try_write = self._write_reopened
        elif not is_forced("nowait"):
            self.try_write = self._write_nowait
        else:
            self._start_thread()

    def _start_thread(self) -> None:
        from .threaded_writer import ThreadedWriter

        self._thread = ThreadedWriter(self.fd)
        self.wait_fd = self._thread.ready_fd
        self.try_write = self._thread.try_write
        self.can_splice = False

    def _reopen(self) -> bool:
        """An open file of our own for the same pipe or terminal. Refused after a change of uid (EACCES)."""
        if is_forced("reopen"):
            return False
        try:
            self._own_fd = os.open(
                f"/proc/self/fd/{self.fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            )
        except OSError:
            return False
        self.wait_fd = self._own_fd
        return True

    def _write_plain(self, buffers: Sequence[bytes | memoryview]) -> int:
        return os.writev(self.fd, buffers)

    def _write_reopened(self, buffers: Sequence[bytes | memoryview]) -> int:
        try:
            return os.writev(self._own_fd, buffers)
        except BlockingIOError:
            return 0

    def _write_nowait(self, buffers: Sequence[bytes | memoryview]) -> int:
        try:
            return os.pwritev(self.fd, buffers, -1, os.RWF_NOWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            self._start_thread()
            return self.try_write(buffers)

    def _write_socket(self, buffers: Sequence[bytes | memoryview]) -> int:
        assert self._socket is not None
        try:
            return self._socket.sendmsg(buffers, (), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0

    def _can_splice(self) -> bool:
        if is_forced("splice"):
            return False
        if self.kind is DescriptorKind.PIPE:
            _grow(self.fd)
            return True
        if self.kind is DescriptorKind.FILE:
            return (
                not fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_APPEND
            )  # splice(2) refuses those with EINVAL
        return self.kind is DescriptorKind.DEVICE

    def try_splice(self, source: int, count: int) -> int | None:
        """Move up to `count` bytes from the socket `source` without copying; 0 at its end of file, None: not
        now.

        "Not now" is a full pipe or an empty socket; the caller knows which it waits for. Where the kernel
        cannot splice to this output, `can_splice` turns False and the answer is None.

        Raises:
            OSError: as `try_write`; bytes that had left `source` by then are counted by `stranded()`.
        """
        if not self.can_splice:
            return None  # a thread may be writing: what is spliced now would overtake its bytes
        try:
            if self.kind is DescriptorKind.PIPE:
                return os.splice(source, self.fd, count, flags=SPLICE_FLAGS)
            if self._conduit is None:
                self._conduit = _Conduit()
            return self._splice_through(self._conduit, source, count)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _NOT_SPLICEABLE:
                raise
            self.can_splice = False
            return None

    def _splice_through(self, conduit: _Conduit, source: int, count: int) -> int:
        moved = os.splice(source, conduit.write_fd, count, flags=SPLICE_FLAGS)
        conduit.held = moved
        while conduit.held:
            try:
                conduit.held -= os.splice(conduit.read_fd, self.fd, conduit.held)
            except OSError as error:
                if error.errno not in _NOT_SPLICEABLE:
                    raise
                self.can_splice = False
                self._write_rest(conduit)
        return moved

    def _write_rest(self, conduit: _Conduit) -> None:
        view = memoryview(os.read(conduit.read_fd, conduit.held))
        while view:
            written = os.write(self.fd, view)
            view = view[written:]
            conduit.held -= written

    def stranded(self) -> int:
        """Bytes that were taken by `try_write` or `try_splice` and have not reached the descriptor."""
        held = self._conduit.held if self._conduit is not None else 0
        return held + (self._thread.pending if self._thread is not None else 0)

    def is_flushed(self) -> bool:
        """True once everything that was taken has reached the descriptor; until then `wait_fd` is not
        writable.

        Raises:
            OSError: what a thread met that writes for us, as `try_write`.
        """
        return self._thread is None or self._thread.is_idle()

    def close(self) -> None:
        """Close what was opened here; `fd` itself is left as it is."""
        if self._own_fd >= 0:
            os.close(self._own_fd)
            self._own_fd = -1
        if self._socket is not None:
            self._socket.close()
        if self._conduit is not None:
            self._conduit.close()
            self._conduit = None
        if self._thread is not None:
            self._thread.close()


class _Conduit:
    """The private pipe between a socket and a file: splice(2) needs a pipe at one end. `held` bytes are in
    it.
    """

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        _grow(self.write_fd)
        self.held = 0

    def close(self) -> None:
        os.close(self.read_fd)
        os.close(self.write_fd)


def _grow(pipe_fd: int) -> None:
    """Ask for PIPE_BYTES once; an ordinary user beyond pipe-user-pages-soft keeps what he has (pipe(7))."""
    try:
        if fcntl.fcntl(pipe_fd, fcntl.F_GETPIPE_SZ) < PIPE_BYTES:
            fcntl.fcntl(pipe_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # EPERM or EBUSY: smaller steps, the same bytes
