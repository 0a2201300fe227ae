"""Records of a connected socket, each whole: what a Channel does with one of type seqpacket or dgram.

A record is never cut, nor given another's descriptors, whoever else receives from the socket: one call takes all of
it (`whole_messages`). Apart from `channel`, which moves the bytes of a stream; neither waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from socket import MSG_DONTWAIT, MSG_NOSIGNAL, SO_SNDBUF, SOCK_SEQPACKET, SOL_SOCKET, SocketType
from typing import TYPE_CHECKING

from .ancillary import (
    MAX_FDS,
    SENDER_SPACE,
    close_descriptors,
    pack_descriptors,
    space_for,
    take_descriptors,
)
from .connected_socket import ConnectedSocket
from .truncation import TIMESTAMP_SPACE, look, must_be_whole, must_fit, refuse_cut
from .whole_messages import receive_whole

if TYPE_CHECKING:
    from .descriptors import Received

_SEND_FLAGS = int(MSG_DONTWAIT | MSG_NOSIGNAL)

SO_TIMESTAMP = 29
"""asm-generic; the `socket` module has no name for it. See `RecordChannel.try_receive_record`."""

_PLAIN_SPACE = TIMESTAMP_SPACE + SENDER_SPACE
_FDS_SPACE = TIMESTAMP_SPACE + space_for(MAX_FDS)


class RecordChannel(ConnectedSocket):
    """The records of a connected socket. `Channel` is one, too: whoever accepts need not ask for the type."""

    __slots__ = ("_held", "_marks_records", "_reset")

    def __init__(self, sock: SocketType, connection: int = 0) -> None:
        super().__init__(sock, connection)
        self._marks_records: bool | None = None  # not asked for yet
        self._reset: ConnectionResetError | None = None
        self._held: Received | None = None  # taken, and more than was asked for

    @property
    def holds_record(self) -> bool:
        """A record has left the socket and was refused: the next receive that asks for enough gets it."""
        return self._held is not None

    def try_receive_record(self, max_bytes: int | None = None) -> bytes | None:
        """The next record whole, b"" included; None if there is none yet. Only for dgram and seqpacket.

        At the end of a seqpacket connection `receive_ended` is set and b"" returned. recv(2) tells an empty
        record from the end by nothing; but a record carries a timestamp when asked to, and the end has none.

        Raises:
            ConnectionResetError: at the end, instead of it. The kernel tells it before the records that are
                still queued, so it is kept until they are through.
            TruncatedError: it is longer than `max_bytes`, and stays: in the socket, or, if somebody else has taken
                the one that was looked at, here (`holds_record`).
        """
        taken = self._take_record(max_bytes, 0)
        return None if taken is None else taken[0]

    def try_receive_record_fds(
        self, max_fds: int, max_bytes: int | None = None
    ) -> tuple[bytes, list[int]] | None:
        """The same, with the descriptors that came with it, close-on-exec; the caller owns them.

        Raises:
            TruncatedError: also if more than `max_fds` came. The record stays, with all of them. Or they could not
                all be opened: then it stays, but if somebody else has taken the one that was looked at they are gone.
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
        if self._held is None:
            try:
                look(self.socket, max_bytes, max_fds)
                taken = self._take_next(max_fds)
            except BlockingIOError:
                return None
            if (max_bytes is None or len(taken[0]) <= max_bytes) and len(taken[1]) <= max_fds:
                self.bytes_received += len(taken[0])
                return taken
            self._hold(*taken)
        return self._give_held(max_bytes, max_fds)

    def _take_next(self, max_fds: int) -> tuple[bytes, list[int]]:
        record, control, is_cut, _ = receive_whole(self.socket, _FDS_SPACE if max_fds else _PLAIN_SPACE)
        self.receive_ended = bool(self._marks_records) and not (record or control)
        if not max_fds:
            self.descriptors_closed += close_descriptors(control) or is_cut
            return record, []
        fds = take_descriptors(control)
        if is_cut:
            self.descriptors_closed += len(fds)
            self._hold(record, [])
            refuse_cut(fds, max_fds)
        return record, fds

    def _hold(self, record: bytes, fds: list[int]) -> None:
        from .descriptors import Received

        self._held = Received(record, fds)

    def _give_held(self, max_bytes: int | None, max_fds: int) -> tuple[bytes, list[int]]:
        held = self._held
        assert held is not None
        must_fit(len(held.data), max_bytes)
        if max_fds:
            must_be_whole(len(held.fds), max_fds)
        else:
            self.descriptors_closed += len(held.fds)
            held.close()
        self._held = None
        self.bytes_received += len(held.data)
        return held.data, [fd.take() for fd in held.fds if not fd.is_closed]

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None
        super().close()

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


def make_room_for(sock: SocketType, record_bytes: int) -> bool:
    """Raise SO_SNDBUF so that a record of that length can be sent back; False if the kernel's limit is below it.

    A record has to fit in its sender's buffer whole (unix(7)), and a client may have a larger one than we. The
    kernel doubles what is asked for, up to twice net.core.wmem_max (socket(7)), and sets 32 bytes of it aside.
    """
    sock.setsockopt(SOL_SOCKET, SO_SNDBUF, record_bytes)
    return sock.getsockopt(SOL_SOCKET, SO_SNDBUF) - 32 >= record_bytes
