"""One connected socket, owned: who is at its other end, what went through it, and how each direction ends.

What moves through it is not known here: `record_channel` and `channel` add that.
"""

from __future__ import annotations

import fcntl
import os
import termios
from socket import AF_UNIX, MSG_DONTWAIT, SHUT_RD, SHUT_WR, SO_ERROR, SOL_SOCKET, SocketType

from ..model.address import Address
from ..model.credentials import PeerCredentials
from .peercred import read_credentials, unpack_credentials

_DISCARD_BYTES = 256 * 1024
_MOST_DISCARDS = 1024
"""More than a Unix socket's queue holds; of one that may go on being sent to (TCP) an end."""


class ConnectedSocket:
    """Owns a connected socket: `close()` closes it, garbage collection warns.

    `connection` is the number its acceptor gave it, 0 for a client's own. Counters are bytes that the kernel gave and
    took since the start, and never go back; `descriptors_closed` counts those that came and that nobody took. `names`
    is what accept(2) said: what the listener and the client are bound to. `is_ours` is whether the socket was made for
    it, so that its flags concern nobody else; who was given one says that it is not.
    Not thread-safe: one thread at a time.
    """

    __slots__ = (
        "_peer",
        "bytes_received",
        "bytes_sent",
        "connection",
        "descriptors_closed",
        "fd",
        "is_ours",
        "names",
        "receive_ended",
        "send_ended",
        "socket",
    )

    def __init__(self, sock: SocketType, connection: int = 0) -> None:
        if sock.gettimeout():  # then its calls would wait, MSG_DONTWAIT or not
            sock.settimeout(0)
        self.socket = sock
        self.fd = sock.fileno()
        self.connection = connection
        self.is_ours = True
        self.names: tuple[Address, str | bytes] | None = None
        self.bytes_received = 0
        self.bytes_sent = 0
        self.descriptors_closed = 0
        self.receive_ended = False
        self.send_ended = False
        self._peer: PeerCredentials | bytes | None = None  # bytes: as the kernel has it, until somebody looks

    @property
    def peer(self) -> PeerCredentials:
        """Who is at the other end; fixed by the kernel at connect. Valid after close if it was asked for before."""
        peer = self._peer
        if not isinstance(peer, PeerCredentials):
            peer = self._peer = unpack_credentials(peer or read_credentials(self.socket))
        return peer

    def note_peer(self) -> None:
        """Ask for the peer's credentials now, so that `peer` is valid after close."""
        if self._peer is None:
            self._peer = read_credentials(self.socket)

    def leads_to(self, listener: SocketType) -> bool:
        """Was this connection made to `listener`? A Unix socket is known by its name and by who called listen(2) on it,
        whatever links, or whose mounts, the way there went through.
        """
        if listener.family != AF_UNIX or self.socket.family != AF_UNIX:
            return False
        is_his = read_credentials(listener) == read_credentials(self.socket)
        return is_his and listener.getsockname() == self.socket.getpeername()

    @property
    def is_closed(self) -> bool:
        """Closed, or given away."""
        return self.fd < 0

    def note_received(self, count: int) -> None:
        """Count bytes that left the socket another way (splice)."""
        self.bytes_received += count

    def note_sent(self, count: int) -> None:
        """Count bytes that entered the socket another way (splice, sendfile)."""
        self.bytes_sent += count

    def unread_by_peer(self) -> int:
        """How much memory is taken by what the peer has not read (SIOCOUTQ); 0 once it is closed.

        The kernel gives it back in pieces of up to 36 KiB, each when it was read to its end. It is the only sign of a
        peer that reads slowly: poll(2) tells of room only once three quarters of SO_SNDBUF are free.
        """
        fd = self.fd
        if fd < 0:
            return 0
        answer = bytearray(4)  # filled in place: half the price of an immutable argument
        fcntl.ioctl(fd, termios.TIOCOUTQ, answer, True)
        return int.from_bytes(answer, "little")

    def take_error(self) -> OSError | None:
        """What broke the connection, if nobody was told yet: the kernel tells it once (SO_ERROR, socket(7)). After an end of
        file nothing else does: a peer that has gone without reading all (ECONNRESET, unix(7)), or that answers what comes
        with a reset (EPIPE; tcp_reset in Linux's tcp_input.c).
        """
        number = 0 if self.is_closed else self.socket.getsockopt(SOL_SOCKET, SO_ERROR)
        return OSError(number, os.strerror(number)) if number else None

    def end_sending(self) -> None:
        """Half-close: the peer reads what was sent, then its end of file. Harmless if repeated or too late."""
        if not self.send_ended and not self.is_closed:
            self.send_ended = True
            self._shutdown(SHUT_WR)

    def end_receiving(self) -> None:
        """Tell the peer that we take no more: its writes fail with EPIPE; what is queued can still be received."""
        if not self.is_closed:
            self._shutdown(SHUT_RD)

    def discard_queued(self) -> int:
        """Throw away what has come and nobody will receive, after `end_receiving`; how much it was. A peer that waits for
        room by poll(2) is not told before there is some that its writes fail (unix_poll looks at the queue alone).
        """
        discarded = 0
        try:
            for _ in range(_MOST_DISCARDS):
                count = len(self.socket.recv(_DISCARD_BYTES, MSG_DONTWAIT))
                discarded += count
                if not count:
                    self.receive_ended = True
                    break
        except BlockingIOError:
            pass
        except OSError:
            self.receive_ended = True  # ECONNRESET: nobody is there to be told
        return discarded

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
