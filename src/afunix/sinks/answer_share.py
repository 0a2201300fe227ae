"""How much of the one socket's send buffer the answers to one sender may take, so that the others get theirs.

All answers leave by the socket that was asked, and all that are unread count against its send buffer
(`kernel.datagram_queue`). So nobody may have more unread than a part of what is free then: one who reads nothing takes a
ninth, the next one a ninth of the rest, and something is always left. How much somebody has not read nobody tells; it
is at most what he was sent since his queue was seen empty, and at most what all have not read.

Knows no queue of its own: what waits, and until when, is `datagram_senders`' affair.
"""

from __future__ import annotations

import contextlib
import socket

from ..kernel.datagram_queue import has_read_all, inode_of, send_buffer, unread_of_all
from ..model.address import Address

PART = 8
"""One sender's unread answers may take the eighth part of what is free besides."""

OVERHEAD = 768
"""What a datagram takes besides its bytes, about (its truesize)."""

WANTED_BYTES = 1 << 20
"""The more there is the more can be shared out; the kernel gives twice what is asked for, up to twice wmem_max."""


class AnswerShare:
    """What one sender may have."""

    __slots__ = ("_has_asked", "_inode", "_is_hidden", "_name", "_sock", "_unread")

    def __init__(self, sock: socket.SocketType, name: Address) -> None:
        self._sock = sock
        self._name = name
        self._unread = 0  # at most
        self._inode: int | None = None
        self._is_hidden = False  # nobody here can see its queue
        self._has_asked = False

    def on_question(self) -> None:
        """It has sent something: who asks reads answers, as far as nothing else is known."""
        self._has_asked = True

    def on_answer(self, size: int) -> None:
        self._unread += size + OVERHEAD

    @property
    def has_room(self) -> bool:
        """May it have another answer now?"""
        if not self._unread:
            return True
        taken = unread_of_all(self._sock)
        self._unread = min(self._unread, taken)
        room = send_buffer(self._sock) - taken
        return self._unread * PART <= room or self._has_proved(room > taken)

    def _has_proved(self, is_half_free: bool) -> bool:
        """That it reads. Of one in another network namespace nobody can tell: it may take half, and more if it asks."""
        if self._inode is None and not self._is_hidden:
            self._inode = inode_of(self._name)
            self._is_hidden = self._inode is None  # looked for once: there may be very many sockets
        has_read = None if self._inode is None else has_read_all(self._inode)
        if has_read is None:
            self._inode = None
            has_read, self._has_asked = is_half_free or self._has_asked, False
        if has_read:
            self._unread = 0
        return has_read


def make_room(sock: socket.SocketType) -> None:
    """Let its buffer be as large as is of use; never a smaller one."""
    if send_buffer(sock) < 2 * WANTED_BYTES:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WANTED_BYTES)
