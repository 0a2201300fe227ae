"""A Channel owns one connected socket and never waits: one attempt a call, and the answer says "not yet".

Every attempt carries MSG_DONTWAIT, so the O_NONBLOCK flag of a descriptor that was handed to us, which
everybody who holds it shares, stays as it was. Who waits, and how, is a driver's business (`streams`,
`blocking`).

What the kernel says comes out as it is: ConnectionResetError after a peer that closed with our bytes unread,
BrokenPipeError for a peer that reads no more. Unix sockets have no other way to break (unix(7)).
"""

from __future__ import annotations

import fcntl
import os
import socket
import termios
from collections.abc import Sequence
from socket import (
    MSG_CMSG_CLOEXEC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_PEEK,
    MSG_TRUNC,
    SHUT_RD,
    SHUT_WR,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    SocketType,
)
from typing import TYPE_CHECKING

from ..model.credentials import PeerCredentials
from .ancillary import close_descriptors
from .peercred import peer_credentials

if TYPE_CHECKING:  # events are many classes, and only a traced channel needs them
    from ..model.events import Observer
    from ..model.lifecycle import Call

_SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL
_PEEK_FLAGS = MSG_DONTWAIT | MSG_PEEK
_SIZE_FLAGS = _PEEK_FLAGS | MSG_TRUNC

SO_PEEK_OFF = 42
"""asm-generic; the `socket` module has no name for it. AF_UNIX since Linux 3.4, see socket(7)."""

SO_TIMESTAMP = 29
"""asm-generic; see `Channel.try_receive_record`."""

_TIMESTAMP_SPACE = 64
"""Room for the control message of one timestamp, twice over."""


class Channel:
    """One connected socket, owned: `close()` closes it, garbage collection warns.

    `connection` is the number its acceptor gave it, 0 for a client's own. Counters are bytes since the start.
    Not thread-safe: one thread at a time.
    """

    __slots__ = (
        "_marks_records",
        "_peer",
        "_reset",
        "_unread",
        "bytes_received",
        "bytes_sent",
        "connection",
        "fd",
        "receive_ended",
        "send_ended",
        "socket",
    )

    def __init__(self, sock: SocketType, connection: int = 0) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.connection = connection
        self.bytes_received = 0
        self.bytes_sent = 0
        self.receive_ended = False
        self.send_ended = False
        self._unread = b""
        self._peer: PeerCredentials | None = None
        self._marks_records: bool | None = None  # not asked for yet
        self._reset: ConnectionResetError | None = None

    @property
    def peer(self) -> PeerCredentials:
        """Who is at the other end; fixed by the kernel at connect, read once, valid after close if read
        before.
        """
        if self._peer is None:
            self._peer = peer_credentials(self.socket)
        return self._peer

    @property
    def is_closed(self) -> bool:
        return self.fd < 0

    def try_receive(self, max_bytes: int) -> bytes | None:
        """Up to `max_bytes`; None if there is nothing yet, b"" once the peer sends no more."""
        if self._unread:
            return self._take_unread(max_bytes)
        try:
            data = self.socket.recv(max_bytes, MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if data:
            self.bytes_received += len(data)
        else:
            self.receive_ended = True
        return data

    def try_peek(self, max_bytes: int, offset: int = 0) -> bytes | None:
        """Up to `max_bytes` of what is queued, `offset` bytes into it, left in place; None if there is
        nothing.

        A stream's bytes may still be changed by a peer that sent them with sendfile or splice (Linux ≥ 6.5).
        """
        try:
            self.socket.setsockopt(SOL_SOCKET, SO_PEEK_OFF, offset)
            return self.socket.recv(max_bytes, _PEEK_FLAGS)
        except BlockingIOError:
            return None

    def queued(self) -> int:
        """How many bytes can be received now (FIONREAD); for a socket of records, the length of the next."""
        answer = bytearray(4)  # filled in place: half the price of an immutable argument
        fcntl.ioctl(self.fd, termios.FIONREAD, answer, True)
        return int.from_bytes(answer, "little") + len(self._unread)

    def note_received(self, count: int) -> None:
        """Count bytes that left the socket another way (splice)."""
        self.bytes_received += count

    def unread(self, data: bytes) -> None:
        """Put bytes back, to be received before what the socket holds."""
        self._unread = data + self._unread
        self.bytes_received -= len(data)

    def _take_unread(self, max_bytes: int) -> bytes:
        data, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        self.bytes_received += len(data)
        return data

    def try_send(self, data: bytes | memoryview) -> int:
        """How many of `data`'s bytes the kernel took: 0 if it has no room."""
        try:
            sent = self.socket.send(data, _SEND_FLAGS)
        except BlockingIOError:
            return 0
        self.bytes_sent += sent
        return sent

    def try_send_many(self, buffers: Sequence[bytes | memoryview]) -> int:
        """The same for several buffers in one sendmsg(2); at most IOV_MAX (1024) of them."""
        try:
            sent = self.socket.sendmsg(buffers, (), _SEND_FLAGS)
        except BlockingIOError:
            return 0
        self.bytes_sent += sent
        return sent

    def note_sent(self, count: int) -> None:
        """Count bytes that entered the socket another way (splice, sendfile)."""
        self.bytes_sent += count

    def try_receive_record(self) -> bytes | None:
        """The next record whole, b"" included; None if there is none yet. Only for dgram and seqpacket.

        At the end of a seqpacket connection `receive_ended` is set and b"" returned. recv(2) tells an empty
        record from the end by nothing; but a record carries a timestamp when asked to, and the end has none.

        Raises:
            ConnectionResetError: at the end, instead of it. The kernel tells it before the records that are
                still queued, so it is kept until they are through.
        """
        if self._marks_records is None:
            self._marks_records = self.socket.type == SOCK_SEQPACKET
            self.socket.setsockopt(SOL_SOCKET, SO_TIMESTAMP, self._marks_records)
        try:
            record = self._receive_record()
        except ConnectionResetError as reset:
            self._reset = reset
            record = self._receive_record()
        if self.receive_ended and self._reset is not None:
            kept, self._reset = self._reset, None
            raise kept
        return record

    def _receive_record(self) -> bytes | None:
        try:
            size = self.socket.recv_into(bytearray(1), 1, _SIZE_FLAGS)
            record, stamps, _, _ = self.socket.recvmsg(
                size, _TIMESTAMP_SPACE, MSG_DONTWAIT | MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        close_descriptors(stamps)
        self.receive_ended = bool(self._marks_records) and not record and not stamps
        self.bytes_received += len(record)
        return record

    def try_send_record(self, record: bytes | memoryview) -> bool:
        """Send all of `record`, which may be empty, as one; False if there is no room for it now.

        Raises:
            OSError: EMSGSIZE for a record that is longer than `max_record_bytes()`.
        """
        try:
            self.bytes_sent += self.socket.send(record, _SEND_FLAGS)
        except BlockingIOError:
            return False
        return True

    def max_record_bytes(self) -> int:
        """The longest record that can be sent: unix(7) sets aside 32 bytes of SO_SNDBUF."""
        return self.socket.getsockopt(SOL_SOCKET, socket.SO_SNDBUF) - 32

    def end_sending(self) -> None:
        """Half-close: the peer reads what was sent, then its end of file. Harmless if repeated or too late."""
        if not self.send_ended and not self.is_closed:
            self.send_ended = True
            self._shutdown(SHUT_WR)

    def end_receiving(self) -> None:
        """Tell the peer that we take no more: its writes fail with EPIPE; what is queued can still be
        received.
        """
        if not self.is_closed:
            self._shutdown(SHUT_RD)

    def _shutdown(self, how: int) -> None:
        try:
            self.socket.shutdown(how)
        except OSError:
            pass  # ENOTCONN: the peer is gone, so that direction has ended already

    def close(self) -> None:
        """Close the descriptor; idempotent. With bytes unread the peer gets ECONNRESET (unix(7))."""
        if self.fd >= 0:
            self.fd = -1
            self.socket.close()

    def detach(self) -> tuple[SocketType, bytes]:
        """Give the socket away, with the bytes that were put back: the caller owns both from now on."""
        self.fd = -1
        unread, self._unread = self._unread, b""
        return self.socket, unread


class TracedChannel(Channel):
    """A Channel whose calls are the plain ones and are told as they happen: what `--trace` shows is what
    strace sees.

    `owned` sockets (ours since socket(2) or accept(2)) are made non-blocking and use read(2) and write(2);
    one that was inherited keeps its flags and recv(2), send(2) with MSG_DONTWAIT. Records use sendto(2) and
    recvmsg(2).
    """

    __slots__ = ("_calls", "_events", "_observer", "_owned")

    def __init__(
        self, sock: SocketType, connection: int = 0, *, observer: Observer, owned: bool = True
    ) -> None:
        from ..model import events, lifecycle

        super().__init__(sock, connection)
        self._events = events
        self._calls = lifecycle.Call
        self._observer = observer
        self._owned = owned
        if owned:
            os.set_blocking(self.fd, False)

    def try_receive(self, max_bytes: int) -> bytes | None:
        if self._unread:
            return self._take_unread(max_bytes)
        try:
            data = self._read(max_bytes) if self._owned else super().try_receive(max_bytes)
        except OSError as error:
            self._tell_failure(self._calls.READ, error)
            raise
        if data is not None:
            self._observer(self._events.BytesRead(self.fd, len(data)))
        return data

    def _read(self, max_bytes: int) -> bytes | None:
        try:
            data = os.read(self.fd, max_bytes)
        except BlockingIOError:
            return None
        self.bytes_received += len(data)
        self.receive_ended = not data
        return data

    def try_receive_record(self) -> bytes | None:
        try:
            record = super().try_receive_record()
        except OSError as error:
            self._tell_failure(self._calls.READ, error)
            raise
        if record is not None:
            self._observer(self._events.BytesRead(self.fd, len(record)))
        return record

    def try_send(self, data: bytes | memoryview) -> int:
        try:
            sent = self._write(data) if self._owned else super().try_send(data)
        except OSError as error:
            self._tell_failure(self._calls.WRITE, error)
            raise
        if sent:
            self._observer(self._events.BytesWritten(self.fd, sent))
        return sent

    def _write(self, data: bytes | memoryview) -> int:
        try:
            sent = os.write(self.fd, data)
        except BlockingIOError:
            return 0
        self.bytes_sent += sent
        return sent

    def try_send_many(self, buffers: Sequence[bytes | memoryview]) -> int:
        return self.try_send(b"".join(buffers))

    def try_send_record(self, record: bytes | memoryview) -> bool:
        try:
            is_sent = super().try_send_record(record)
        except OSError as error:
            self._tell_failure(self._calls.WRITE, error)
            raise
        if is_sent:
            self._observer(self._events.BytesWritten(self.fd, len(record)))
        return is_sent

    def _tell_failure(self, call: Call, error: OSError) -> None:
        self._observer(self._events.CallFailed(self.fd, call, error.errno or 0))

    def _shutdown(self, how: int) -> None:
        try:
            self.socket.shutdown(how)
        except OSError as error:
            self._tell_failure(self._calls.SHUTDOWN, error)
            return
        directions = self._events.Direction
        self._observer(
            self._events.HalfClosed(self.fd, directions.SENDING if how == SHUT_WR else directions.RECEIVING)
        )
