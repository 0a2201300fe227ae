"""A Channel that tells what it does: what `--trace` shows and an observer is told is what strace sees.

Apart from `channel`, because it knows the events, which are many classes, and a client that nobody watches does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from socket import SHUT_WR, SocketType
from typing import NoReturn

from ..model.events import (
    BytesRead,
    BytesWritten,
    CallFailed,
    DescriptorsReceived,
    DescriptorsSent,
    Direction,
    HalfClosed,
    Observer,
)
from ..model.lifecycle import Call
from .discarding_channel import DiscardingChannel


class TracedChannel(DiscardingChannel):
    """A Channel whose every read and write on the socket is told once, as it happens; what is put back and received
    again is not.

    `owned` sockets (ours since socket(2) or accept(2)) are made non-blocking and use read(2) and write(2), as a
    learner expects them. Any other keeps its flags, never raises SIGPIPE and uses recvmsg(2), send(2) and sendmsg(2)
    with MSG_DONTWAIT. Records use send(2), sendmsg(2) and recvmsg(2).
    """

    __slots__ = ("_observer", "_owned")

    def __init__(
        self, sock: SocketType, connection: int = 0, *, observer: Observer, owned: bool = True
    ) -> None:
        super().__init__(sock, connection)
        self._observer = observer
        # A class of its own that receives in its own way (`testing.faults`) wants to be asked.
        self._owned = owned and type(sock).recv is SocketType.recv
        if owned:
            os.set_blocking(self.fd, False)

    # Receiving

    def try_receive(self, max_bytes: int) -> bytes | None:
        if self.put_back is not None:
            return self._take_back(self.put_back, max_bytes)
        with self._telling_failure(Call.READ):
            data = self._read(max_bytes) if self._owned else super().try_receive(max_bytes)
        if data is not None:
            self._tell_read(len(data))
        return data

    def _read(self, max_bytes: int) -> bytes | None:
        try:
            data = os.read(self.fd, max_bytes)
        except BlockingIOError:
            return None
        self.bytes_received += len(data)
        self.receive_ended = not data
        return data

    def try_receive_into(self, buffer: memoryview) -> int | None:
        is_put_back = self.put_back is not None
        with self._telling_failure(Call.READ):
            count = super().try_receive_into(buffer)
        if count is not None and not is_put_back:
            self._tell_read(count)
        return count

    def try_receive_fds(self, max_bytes: int, max_fds: int) -> tuple[bytes, list[int]] | None:
        is_put_back = self.put_back is not None
        with self._telling_failure(Call.READ):
            taken = super().try_receive_fds(max_bytes, max_fds)
        if taken is not None and not is_put_back:
            self._tell_read(len(taken[0]), len(taken[1]))
        return taken

    def _refuse_truncated(self, data: bytes, fds: list[int], max_fds: int) -> NoReturn:
        self._tell_read(len(data), len(fds))  # it was read, whoever may have it
        super()._refuse_truncated(data, fds, max_fds)

    def _take_record(self, max_bytes: int | None, max_fds: int) -> tuple[bytes, list[int]] | None:
        with self._telling_failure(Call.READ):
            taken = super()._take_record(max_bytes, max_fds)
        if taken is not None:
            self._tell_read(len(taken[0]), len(taken[1]))
        return taken

    def _tell_read(self, count: int, descriptors: int = 0) -> None:
        self._observer(
            DescriptorsReceived(self.fd, count, descriptors) if descriptors else BytesRead(self.fd, count)
        )

    # Sending

    def try_send(self, data: bytes | memoryview) -> int:
        with self._telling_failure(Call.WRITE):
            sent = self._write(data) if self._owned else super().try_send(data)
        if sent:
            self._tell_written(sent)
        return sent

    def _write(self, data: bytes | memoryview) -> int:
        try:
            sent = os.write(self.fd, data)
        except BlockingIOError:
            return 0
        self.bytes_sent += sent
        return sent

    def try_send_many(self, buffers: Sequence[bytes | memoryview]) -> int:
        with self._telling_failure(Call.WRITE):
            sent = super().try_send_many(buffers)
        if sent:
            self._tell_written(sent)
        return sent

    def try_send_fds(self, data: bytes | memoryview, fds: Sequence[int]) -> int:
        with self._telling_failure(Call.WRITE):
            sent = super().try_send_fds(data, fds)
        if sent:
            self._tell_written(sent, len(fds))
        return sent

    def note_sent(self, count: int) -> None:
        super().note_sent(count)
        if count:
            self._tell_written(count)

    def try_send_record(self, record: bytes | memoryview) -> bool:
        with self._telling_failure(Call.WRITE):
            is_sent = super().try_send_record(record)
        if is_sent:
            self._tell_written(len(record))
        return is_sent

    def try_send_record_fds(self, record: bytes | memoryview, fds: Sequence[int]) -> bool:
        with self._telling_failure(Call.WRITE):
            is_sent = super().try_send_record_fds(record, fds)
        if is_sent:
            self._tell_written(len(record), len(fds))
        return is_sent

    def _tell_written(self, count: int, descriptors: int = 0) -> None:
        self._observer(
            DescriptorsSent(self.fd, count, descriptors) if descriptors else BytesWritten(self.fd, count)
        )

    # Both

    @contextmanager
    def _telling_failure(self, call: Call) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._observer(CallFailed(self.fd, call, error.errno or 0))
            raise

    def _shutdown(self, how: int) -> None:
        try:
            self.socket.shutdown(how)
        except OSError as error:
            self._observer(CallFailed(self.fd, Call.SHUTDOWN, error.errno or 0))
            return
        ended = Direction.SENDING if how == SHUT_WR else Direction.RECEIVING
        self._observer(HalfClosed(self.fd, ended))
