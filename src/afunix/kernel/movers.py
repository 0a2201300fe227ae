"""Ways for bytes to go from descriptor to descriptor: what `pump` tries while they come in bulk.

    MappedFile      regular file → socket, a copy: the kernel reads the mapping while it sends
    SentFile        regular file → socket, no copy: the pages stay the file's, and a later write changes them
    SplicedPipe     pipe → socket, no copy
    SplicedSocket   socket → pipe, file or /dev/null, no copy

Descriptors are borrowed. Each falls back to copying by saying that it is not usable; none ever waits, which
is why those that write to a socket want one of our own, non-blocking: splice(2) and sendfile(2) have no
MSG_DONTWAIT.
"""

from __future__ import annotations

import errno
import os
import stat
from socket import SO_SNDBUF, SOL_SOCKET
from typing import TYPE_CHECKING

from .channel import Channel
from .descriptor_kind import DescriptorKind
from .fallbacks import is_forced
from .input import Input
from .output import SPLICE_FLAGS, Output
from .pump import CHUNK_BYTES, Wants

if TYPE_CHECKING:
    from mmap import mmap

_WINDOW_BYTES = 8 * 1024 * 1024
"""How much of a file is mapped at once: small enough to be read in well before it is sent."""

_SEND_BUFFER_BYTES = 1024 * 1024
"""For bulk from a file: fewer and longer turns. The kernel lowers it to net.core.wmem_max."""

_SMALL_MOVE_BYTES = 16 * 1024
"""A splice moves at most one message for each slot of a pipe; below this, one read of many messages is
cheaper.
"""

_UNUSABLE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
_SOCKET_ERRORS = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ECONNREFUSED)


class _ToSocket:
    """What movers into a socket have in common."""

    min_bytes = 0
    held = 0

    def __init__(self, source: Input, channel: Channel) -> None:
        self.is_usable = True
        self._source = source
        self._channel = channel

    def obstacle(self) -> Wants:
        return Wants.SINK  # a file is always readable

    def is_sources_fault(self, error: OSError) -> bool:
        return error.errno not in _SOCKET_ERRORS

    def close(self) -> None:
        pass


class MappedFile(_ToSocket):
    """A file's bytes copied into the socket straight from the page cache: one copy instead of two.

    The file's position moves on with what was sent, as read(2) would have it. A file that shrinks makes
    send(2) fail with EFAULT (nobody here touches the mapping, so there is no SIGBUS); then, and at the end of
    the size it had, reading takes over and finds the true end.
    """

    def __init__(self, source: Input, channel: Channel) -> None:
        super().__init__(source, channel)
        self._position = os.lseek(source.fd, 0, os.SEEK_CUR)
        self._window: mmap | None = None
        self._view = memoryview(b"")
        self._start = 0

    def try_move(self, max_bytes: int) -> int | None:
        if self._position >= self._start + len(self._view) and not self._map_next():
            self.is_usable = False
            return None
        at = self._position - self._start
        piece = self._view[at : at + max_bytes]
        try:
            sent = self._channel.try_send(piece)
        except OSError as error:
            if error.errno != errno.EFAULT:
                raise
            self.is_usable = False
            return None
        finally:
            piece.release()  # an error would keep it, and the mapping could not be closed
        if not sent:
            return None
        self._position += sent
        self._source.note_received(sent)
        os.lseek(self._source.fd, self._position, os.SEEK_SET)
        return sent

    def _map_next(self) -> bool:
        """Map the window around the position; False at the end of the file, or if it cannot be mapped."""
        from mmap import ALLOCATIONGRANULARITY, MAP_POPULATE, MAP_PRIVATE, PROT_READ, mmap

        self.close()
        self._start = self._position - self._position % ALLOCATIONGRANULARITY
        length = min(os.fstat(self._source.fd).st_size - self._start, _WINDOW_BYTES)
        if self._start + length <= self._position:
            return False
        try:
            flags = MAP_PRIVATE | MAP_POPULATE
            self._window = mmap(self._source.fd, length, flags=flags, prot=PROT_READ, offset=self._start)
        except (OSError, ValueError):  # ENODEV: it has no pages; ValueError: it has just shrunk
            return False
        self._view = memoryview(self._window)
        return True

    def close(self) -> None:
        """Unmap."""
        self._view.release()
        self._view = memoryview(b"")
        if self._window is not None:
            self._window.close()
            self._window = None


class SentFile(_ToSocket):
    """sendfile(2): the receiver gets the file's own pages, so they must not be written before it has read
    them.
    """

    def try_move(self, max_bytes: int) -> int | None:
        try:
            sent = os.sendfile(self._channel.fd, self._source.fd, None, max_bytes)  # at the file's position
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _UNUSABLE:
                raise
            sent = 0
        if not sent:
            self.is_usable = False  # reading finds out whether it is the end
            return None
        self._source.note_received(sent)
        self._channel.note_sent(sent)
        return sent


class SplicedPipe(_ToSocket):
    """splice(2) from a pipe: what is in it belongs to nobody else any more."""

    min_bytes = _SMALL_MOVE_BYTES

    def try_move(self, max_bytes: int) -> int | None:
        try:
            moved = os.splice(self._source.fd, self._channel.fd, max_bytes, flags=SPLICE_FLAGS)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _UNUSABLE:
                raise
            self.is_usable = False
            return None
        self._source.note_received(moved)
        self._channel.note_sent(moved)
        return moved

    def obstacle(self) -> Wants:
        return Wants.SINK if self._source.queued() else Wants.SOURCE


class SplicedSocket:
    """splice(2) from a socket to where `Output` can: a pipe, a file that is not O_APPEND, /dev/null.

    Only for a socket that takes no descriptors: splice would drop them without a sign.
    """

    min_bytes = _SMALL_MOVE_BYTES
    held = 0

    def __init__(self, channel: Channel, output: Output) -> None:
        self.is_usable = True
        self._channel = channel
        self._output = output

    def try_move(self, max_bytes: int) -> int | None:
        moved = self._output.try_splice(self._channel.fd, max_bytes)
        self.is_usable = self._output.can_splice
        if moved is not None:
            self._channel.note_received(moved)
        return moved

    def obstacle(self) -> Wants:
        return Wants.SINK if self._channel.queued() else Wants.SOURCE

    def is_sources_fault(self, error: OSError) -> bool:
        return error.errno == errno.ECONNRESET

    def close(self) -> None:
        pass


def choose_into_socket(source: Input, channel: Channel, *, zero_copy: bool) -> _Movers | None:
    """The fastest mover from `source` into a non-blocking stream socket of our own; None: copying is best.

    None too where bytes were put back into `source`: they are not in the descriptor, and come first.
    """
    if is_forced("splice") or source.has_unread:
        return None
    if source.kind is DescriptorKind.PIPE:
        return SplicedPipe(source, channel)
    if source.kind is not DescriptorKind.FILE or not _has_bulk_left(source.fd):
        return None
    channel.socket.setsockopt(SOL_SOCKET, SO_SNDBUF, _SEND_BUFFER_BYTES)
    return SentFile(source, channel) if zero_copy else MappedFile(source, channel)


_Movers = MappedFile | SentFile | SplicedPipe


def _has_bulk_left(fd: int) -> bool:
    status = os.fstat(fd)
    return stat.S_ISREG(status.st_mode) and status.st_size - os.lseek(fd, 0, os.SEEK_CUR) > CHUNK_BYTES
