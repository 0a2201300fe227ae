"""A mover for `pump`: from one stream socket to another through a borrowed pipe, without a copy.

Only where no descriptors can come (SO_PASSRIGHTS=0), for splice(2) would drop them without a sign. splice has no
MSG_DONTWAIT, and waits for a socket whose O_NONBLOCK is not set, as accept(2) leaves it: with the first move both get
it. So they have to be our own.
"""

from __future__ import annotations

import errno
import os
from socket import AF_UNIX, SO_SNDBUF, SOL_SOCKET

from .connected_socket import ConnectedSocket
from .output import SPLICE_FLAGS
from .pipes import PIPE_BYTES, Pipe, PipePool
from .pump import Wants

_SMALL_MOVE_BYTES = 32 * 1024
"""A splice moves a message for each slot of the pipe; below this one read of many messages is cheaper."""

_UNUSABLE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


class SplicedStream:
    """Owns neither socket. While all pipes are lent it moves nothing, and bytes are copied.

    `held` bytes have left the source, are in the pipe, and have not entered the sink.
    """

    __slots__ = (
        "_has_failed_at_sink",
        "_is_prepared",
        "_is_without_pipe",
        "_pipe",
        "_pool",
        "_sink",
        "_source",
        "is_usable",
    )

    min_bytes = _SMALL_MOVE_BYTES

    def __init__(self, source: ConnectedSocket, sink: ConnectedSocket, pool: PipePool) -> None:
        self.is_usable = True
        self._source = source
        self._sink = sink
        self._pool = pool
        self._pipe: Pipe | None = None
        self._has_failed_at_sink = False
        self._is_without_pipe = False
        self._is_prepared = False

    @property
    def held(self) -> int:
        return self._pipe.held if self._pipe is not None else 0

    def try_move(self, max_bytes: int) -> int | None:
        """Fill the pipe if it is empty, and empty it as far as the sink takes it."""
        pipe = self._pipe
        if not self._is_prepared:
            self._prepare()
        if pipe is None:
            pipe = self._pipe = self._pool.borrow()
            self._is_without_pipe = pipe is None
            if pipe is None:
                return None
        if not pipe.held:
            filled = self._fill(pipe, max_bytes)
            if not filled:
                self._give_back()
                return filled
        return self._empty(pipe)

    def _prepare(self) -> None:
        for end in (self._source, self._sink):
            os.set_blocking(end.fd, False)
        if self._sink.socket.family == AF_UNIX:  # TCP finds its own
            self._sink.socket.setsockopt(SOL_SOCKET, SO_SNDBUF, PIPE_BYTES)
        self._is_prepared = True

    def _fill(self, pipe: Pipe, max_bytes: int) -> int | None:
        self._has_failed_at_sink = False
        try:
            pipe.held = os.splice(self._source.fd, pipe.into, max_bytes, flags=SPLICE_FLAGS)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _UNUSABLE:
                raise
            self.is_usable = False
            return None
        self._source.note_received(pipe.held)
        return pipe.held

    def _empty(self, pipe: Pipe) -> int | None:
        self._has_failed_at_sink = True
        moved = 0
        while pipe.held:
            try:
                sent = os.splice(pipe.out_of, self._sink.fd, pipe.held, flags=SPLICE_FLAGS)
            except BlockingIOError:
                break
            pipe.held -= sent
            moved += sent
        self._sink.note_sent(moved)
        if not pipe.held:
            self._give_back()
        return moved or None

    def _give_back(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._pool.give_back(pipe)

    def obstacle(self) -> Wants:
        if self._is_without_pipe:
            return Wants.TURN
        return Wants.SINK if self.held else Wants.SOURCE

    def is_sources_fault(self, error: OSError) -> bool:
        return not self._has_failed_at_sink

    def close(self) -> None:
        """Give the pipe back; what is still in it is lost."""
        self._give_back()
