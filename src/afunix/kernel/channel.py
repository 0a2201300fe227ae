"""A Channel owns one connected socket and never waits: one attempt a call, and the answer says "not yet".

Every attempt carries MSG_DONTWAIT, so the O_NONBLOCK flag of a descriptor that was handed to us, which
everybody who holds it shares, stays as it was. Who waits, and how, is a driver's business (`streams`,
`blocking`). Here are the bytes of a stream; the records of the other types are `record_channel`.

What the kernel says comes out as it is: ConnectionResetError after a peer that closed with our bytes unread,
BrokenPipeError for a peer that reads no more. Unix sockets have no other way to break (unix(7)).
"""

from __future__ import annotations

import fcntl
import os
import termios
from collections.abc import Sequence
from socket import (
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_PEEK,
    SOL_SOCKET,
    SocketType,
)
from typing import NoReturn

from ..model.errors import TruncatedError
from .ancillary import pack_descriptors, space_for, take_descriptors
from .put_back import PutBack
from .record_channel import RecordChannel
from .truncation import why_cut

# Plain numbers: the operators of `socket`'s flags are Python code, and cost more than a small receive.
_SEND_FLAGS = int(MSG_DONTWAIT | MSG_NOSIGNAL)
_PEEK_FLAGS = int(MSG_DONTWAIT | MSG_PEEK)
_FDS_FLAGS = int(MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
_CONTROL_CUT = int(MSG_CTRUNC)

SO_PEEK_OFF = 42
"""asm-generic; the `socket` module has no name for it. AF_UNIX since Linux 3.4, see socket(7)."""


class Channel(RecordChannel):
    """One connected socket, owned: its bytes, and what was put back of them. See `ConnectedSocket`."""

    __slots__ = ("put_back",)

    def __init__(self, sock: SocketType, connection: int = 0) -> None:
        super().__init__(sock, connection)
        self.put_back: PutBack | None = None

    def try_receive(self, max_bytes: int) -> bytes | None:
        """Up to `max_bytes`; None if there is nothing yet, b"" once the peer sends no more."""
        if self.put_back is not None:
            return self._take_back(self.put_back, max_bytes)
        try:
            data = self.socket.recv(max_bytes, MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if data:
            self.bytes_received += len(data)
        else:
            self.receive_ended = True
        return data

    def try_receive_into(self, buffer: memoryview) -> int | None:
        """The same into `buffer`, which is not empty: how many bytes; None if there is nothing yet, 0 at the end."""
        if self.put_back is not None:
            data = self._take_back(self.put_back, len(buffer))
            buffer[: len(data)] = data
            return len(data)
        try:
            count = self.socket.recv_into(buffer, 0, MSG_DONTWAIT)
        except BlockingIOError:
            return None
        self.bytes_received += count
        if not count:
            self.receive_ended = True
        return count

    def try_receive_fds(self, max_bytes: int, max_fds: int) -> tuple[bytes, list[int]] | None:
        """The same, with the descriptors that came with them; the caller owns those.

        They are close-on-exec from the first instant. A read ends after the bytes of a message that
        carried some: they belong to the last message that the bytes hold the beginning of (unix(7)).

        Raises:
            TruncatedError: more than `max_fds` came, or they could not all be opened. They are closed, and the
                bytes put back.
        """
        if self.put_back is not None:
            return self._take_back(self.put_back, max_bytes), []
        try:
            data, control, flags, _ = self.socket.recvmsg(max_bytes, space_for(max_fds), _FDS_FLAGS)
        except BlockingIOError:
            return None
        self.bytes_received += len(data)
        if not data:
            self.receive_ended = True
        fds = take_descriptors(control)
        if flags & _CONTROL_CUT or len(fds) > max_fds:
            self._refuse_truncated(data, fds, max_fds)
        return data, fds

    def _refuse_truncated(self, data: bytes, fds: list[int], max_fds: int) -> NoReturn:
        for fd in fds:
            os.close(fd)
        self.descriptors_closed += len(fds)
        self.unread(data)
        remedy = "close some" if len(fds) < max_fds else "ask for more"
        raise TruncatedError(
            why_cut(len(fds), max_fds),
            hint=f"{remedy} the next time: these are closed, the bytes can still be received",
        )

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

    def try_look(self, max_bytes: int) -> bytes | None:
        """Up to `max_bytes` of what is queued, left in place, b"" at the end; None if there is nothing yet. No option
        of the socket changes. It may be less than there is: a look ends after a message with descriptors.
        """
        try:
            return self.socket.recv(max_bytes, _PEEK_FLAGS)
        except BlockingIOError:
            return None

    def queued(self) -> int:
        """How many bytes can be received now (FIONREAD); of datagrams, the length of the next."""
        answer = bytearray(4)  # filled in place: half the price of an immutable argument
        fcntl.ioctl(self.fd, termios.FIONREAD, answer, True)
        return int.from_bytes(answer, "little") + self.bytes_put_back

    @property
    def bytes_put_back(self) -> int:
        """How many bytes `unread` put back that were not received again."""
        return 0 if self.put_back is None else len(self.put_back)

    def unread(self, data: bytes) -> None:
        """Put bytes back, to be received before what the socket holds."""
        if not data:
            return
        if self.put_back is None:
            self.put_back = PutBack(data)
        else:
            self.put_back.put(data)

    def append_unread(self, data: bytes) -> None:
        """Put bytes back behind those that were put back before: they are what followed them in the socket."""
        if self.put_back is None:
            self.unread(data)
        else:
            self.put_back.append(data)

    def take_all_unread(self) -> bytes:
        """Everything that was put back."""
        put_back = self.put_back
        return b"" if put_back is None else self._take_back(put_back, len(put_back))

    def end_of_unread(self, max_bytes: int) -> bytes:
        """The last put-back bytes, `max_bytes` at most; they stay."""
        return b"" if self.put_back is None else self.put_back.end(max_bytes)

    def find_unread(self, separator: bytes, start: int = 0) -> int:
        """How many put-back bytes come before `separator`, looked for from the `start`-th on; -1: none."""
        return -1 if self.put_back is None else self.put_back.find(separator, start)

    def _take_back(self, put_back: PutBack, max_bytes: int) -> bytes:
        data = put_back.take(max_bytes)
        if not put_back:
            self.put_back = None
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

    def try_send_fds(self, data: bytes | memoryview, fds: Sequence[int]) -> int:
        """Like `try_send`, with `fds` (at most 253) attached to the first byte; they stay the caller's, who may
        close them afterwards.

        Raises:
            OSError: EBADF (one is closed), EINVAL (too many), ETOOMANYREFS (too many are under way, unix(7)),
                EPERM (the receiver has refused descriptors: SO_PASSRIGHTS, Linux 6.16).
        """
        try:
            sent = self.socket.sendmsg((data,), pack_descriptors(fds), _SEND_FLAGS)
        except BlockingIOError:
            return 0
        self.bytes_sent += sent
        return sent

    def detach(self) -> tuple[SocketType, bytes]:
        """Give the socket away, with the bytes that were put back: the caller owns both from now on."""
        self.fd = -1
        unread, self.put_back = self.put_back, None
        return self.socket, b"" if unread is None else unread.take(len(unread))
