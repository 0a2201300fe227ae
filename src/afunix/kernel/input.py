"""An inherited descriptor as the place where bytes come from: read without waiting, its flags never touched.

Counterpart of `output`. STDIN's O_NONBLOCK flag belongs to everybody who holds that open file, so instead:

    socket                       recv(2) with MSG_DONTWAIT
    pipe, FIFO, terminal         an open file of our own through /proc/self/fd/N, non-blocking
    where that is refused        a plain read, after poll said that there is something
    regular file, /dev/null, …   a plain read: it never waits for a writer

Nothing here knows where the bytes go, nor about lines.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import termios
from collections.abc import Callable

from .descriptor_kind import DescriptorKind
from .fallbacks import is_forced
from .wrapping import as_socket


class Input:
    """Where bytes come from. `fd` stays its owner's; `close()` closes only what was opened here.

    `wait_fd` is what a driver polls for POLLIN after a read that gave nothing; None where that never happens.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.kind = DescriptorKind.of(fd)
        self.ended = False
        self.bytes_received = 0
        self.wait_fd: int | None = fd
        self._own_fd = -1
        self._socket: socket.SocketType | None = None
        self._unread = b""
        self._read = self._choose_reader()

    def _choose_reader(self) -> Callable[[int], bytes]:
        if self.kind is DescriptorKind.SOCKET:
            self._socket = as_socket(os.dup(self.fd))
            return self._receive
        if self.kind is DescriptorKind.FILE or (
            self.kind is DescriptorKind.DEVICE and not _can_be_waited_for(self.fd)
        ):
            self.wait_fd = None
            return self._read_plain
        if self.kind is not DescriptorKind.DEVICE and self._reopen():
            return self._read_own
        return self._read_polled

    def _reopen(self) -> bool:
        """An open file of our own for the same pipe or terminal. Refused after a change of uid (EACCES)."""
        if is_forced("reopen"):
            return False
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            self._own_fd = os.open(f"/proc/self/fd/{self.fd}", flags)
        except OSError:
            return False
        self.wait_fd = self._own_fd
        return True

    def try_receive(self, max_bytes: int) -> bytes | None:
        """Up to `max_bytes`; None if there is nothing yet, b"" at the end.

        Raises:
            OSError: as read(2): EISDIR, EBADF for a descriptor that is open for writing only, EIO, …
        """
        if self._unread or self.ended:
            return self._take_unread(max_bytes)
        try:
            data = self._read(max_bytes)
        except BlockingIOError:
            return None
        except OSError as error:
            # A terminal that hung up; for a job in the background the end comes as an error, too.
            if error.errno != errno.EIO or self.kind is not DescriptorKind.TERMINAL:
                raise
            data = b""
        self.ended = not data
        self.bytes_received += len(data)
        return data

    def _take_unread(self, max_bytes: int) -> bytes:
        data, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        self.bytes_received += len(data)
        return data

    def unread(self, data: bytes) -> None:
        """Put bytes back, to be received before anything else, also after the end."""
        self._unread = data + self._unread
        self.bytes_received -= len(data)

    @property
    def has_unread(self) -> bool:
        """Were bytes put back that have not been received again? Whoever goes past us would overtake them."""
        return bool(self._unread)

    @property
    def is_exhausted(self) -> bool:
        """The end was reached, and nothing has been put back since."""
        return self.ended and not self._unread

    def _receive(self, max_bytes: int) -> bytes:
        assert self._socket is not None
        return self._socket.recv(max_bytes, socket.MSG_DONTWAIT)

    def _read_plain(self, max_bytes: int) -> bytes:
        return os.read(self.fd, max_bytes)

    def _read_own(self, max_bytes: int) -> bytes:
        return os.read(self._own_fd, max_bytes)

    def _read_polled(self, max_bytes: int) -> bytes:
        """A known race: whoever shares the pipe may take the bytes first; then this waits for the next."""
        if not _is_readable(self.fd):
            raise BlockingIOError
        return os.read(self.fd, max_bytes)

    def note_received(self, count: int) -> None:
        """Count bytes that left the descriptor another way (splice, sendfile, a mapping)."""
        self.bytes_received += count

    def queued(self) -> int:
        """How many bytes can be read now, without taking them. 0 also at the end."""
        return len(self._unread) + (0 if self.ended else self._queued_there())

    def _queued_there(self) -> int:
        if self.kind is DescriptorKind.FILE:
            return self._left_in_file()
        try:
            answer = fcntl.ioctl(self.fd, termios.FIONREAD, b"\0\0\0\0")
        except OSError:
            return 1 if self.kind is DescriptorKind.DEVICE and self._read_ahead() else 0
        return int.from_bytes(answer, "little")

    def _left_in_file(self) -> int:
        """For a file that has no size (/proc) one byte is read where the next would be."""
        try:
            position = os.lseek(self.fd, 0, os.SEEK_CUR)
            size = os.fstat(self.fd).st_size
            return size - position if size > position else len(os.pread(self.fd, 1, position))
        except OSError:
            return 0

    def _read_ahead(self) -> bytes:
        """Of a device nothing can be asked but a byte; /dev/null has none, /dev/zero always has one."""
        try:
            return os.read(self.fd, 1) if _is_readable(self.fd) else b""
        except OSError:
            return b""

    def close(self) -> None:
        """Close what was opened here; `fd` itself is left as it is."""
        if self._own_fd >= 0:
            os.close(self._own_fd)
            self._own_fd = -1
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _can_be_waited_for(fd: int) -> bool:
    """False for /dev/null, /dev/zero and whatever else epoll(7) refuses: it is always ready."""
    with select.epoll() as epoll:
        try:
            epoll.register(fd, select.EPOLLIN)
        except OSError:
            return False
    return True


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
