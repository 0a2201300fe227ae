"""Records of a connected socket, each whole: what a Channel does with one of type seqpacket or dgram.

A record is never cut: a look (MSG_PEEK) tells its length first. Apart from `channel`, which moves the bytes of a
stream; neither waits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from socket import (
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_PEEK,
    MSG_TRUNC,
    SO_SNDBUF,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    SocketType,
)

from .ancillary import close_descriptors, pack_descriptors, space_for, take_descriptors
from .connected_socket import ConnectedSocket
from .truncation import must_be_whole, must_fit

_SEND_FLAGS = int(MSG_DONTWAIT | MSG_NOSIGNAL)
_TAKE_FLAGS = int(MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
_LOOK_FLAGS = int(_TAKE_FLAGS | MSG_PEEK | MSG_TRUNC)
_CONTROL_CUT = int(MSG_CTRUNC)

SO_TIMESTAMP = 29
"""asm-generic; the `socket` module has no name for it. See `RecordChannel.try_receive_record`."""

_TIMESTAMP_SPACE = 64
"""Room for the control message of one timestamp, twice over."""


class RecordChannel(ConnectedSocket):
    """The records of a connected socket. `Channel` is one, too: whoever accepts need not ask for the type."""

    __slots__ = ("_marks_records", "_reset")

    def __init__(self, sock: SocketType, connection: int = 0) -> None:
        super().__init__(sock, connection)
        self._marks_records: bool | None = None  # not asked for yet
        self._reset: ConnectionResetError | None = None

    def try_receive_record(self, max_bytes: int | None = None) -> bytes | None:
        """The next record whole, b"" included; None if there is none yet. Only for dgram and seqpacket.

        At the end of a seqpacket connection `receive_ended` is set and b"" returned. recv(2) tells an empty
        record from the end by nothing; but a record carries a timestamp when asked to, and the end has none.

        Raises:
            ConnectionResetError: at the end, instead of it. The kernel tells it before the records that are
                still queued, so it is kept until they are through.
            TruncatedError: it is longer than `max_bytes`, and stays.
        """
        taken = self._take_record(max_bytes, 0)
        return None if taken is None else taken[0]

    def try_receive_record_fds(
        self, max_fds: int, max_bytes: int | None = None
    ) -> tuple[bytes, list[int]] | None:
        """The same, with the descriptors that came with it, close-on-exec; the caller owns them.

        Raises:
            TruncatedError: also if more than `max_fds` came. The record stays, with all of them.
        """
        return self._take_record(max_bytes, max_fds)

    def _take_record(self, max_bytes: int | None, max_fds: int) -> tuple[bytes, list[int]] | None:
        if self._marks_records is None:
            self._marks_records = self.socket.type == SOCK_SEQPACKET
            self.socket.setsockopt(SOL_SOCKET, SO_TIMESTAMP, self._marks_records)
        try:
            taken = self._receive_record(max_bytes, max_fds)
        except ConnectionResetError as reset:
            self._reset = reset.with_traceback(None)  # which would keep this channel
            taken = self._receive_record(max_bytes, max_fds)
        if self.receive_ended and self._reset is not None:
            kept, self._reset = self._reset, None
            raise kept
        return taken

    def _receive_record(self, max_bytes: int | None, max_fds: int) -> tuple[bytes, list[int]] | None:
        fds: list[int] = []
        try:
            size = self._look_at_record(max_fds, fds)
            must_fit(size, max_bytes)
            # Descriptors that a look has opened are ours; those of the record itself are dropped by this.
            space = 0 if fds else _TIMESTAMP_SPACE
            record, stamps, flags, _ = self.socket.recvmsg(size, space, _TAKE_FLAGS)
        except BaseException as error:
            for fd in fds:
                os.close(fd)
            if isinstance(error, BlockingIOError):
                return None
            raise
        if not fds:
            self.descriptors_closed += close_descriptors(stamps) or bool(flags & _CONTROL_CUT)
        self.receive_ended = bool(self._marks_records) and not (record or stamps or fds)
        self.bytes_received += len(record)
        return record, fds

    def _look_at_record(self, max_fds: int, fds: list[int]) -> int:
        """The next record's length; its descriptors, if asked for, are opened and put into `fds`."""
        if not max_fds:
            return self.socket.recv_into(bytearray(1), 1, _LOOK_FLAGS)
        size, control, flags, _ = self.socket.recvmsg_into(
            (bytearray(1),), _TIMESTAMP_SPACE + space_for(max_fds), _LOOK_FLAGS
        )
        found = take_descriptors(control)
        must_be_whole(found, max_fds, flags)
        fds += found
        return size

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

    def try_send_record_fds(self, record: bytes | memoryview, fds: Sequence[int]) -> bool:
        """The same with `fds`, which stay the caller's; an empty record can carry some, too.

        Raises:
            OSError: as `try_send_record` and `try_send_fds`.
        """
        try:
            self.bytes_sent += self.socket.sendmsg((record,), pack_descriptors(fds), _SEND_FLAGS)
        except BlockingIOError:
            return False
        return True

    def max_record_bytes(self) -> int:
        """The longest record that can be sent: unix(7) sets aside 32 bytes of SO_SNDBUF."""
        return self.socket.getsockopt(SOL_SOCKET, SO_SNDBUF) - 32
