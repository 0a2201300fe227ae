"""One end of a connection: an owned socket that has a peer, and who that is.

What the faces for asyncio, for threads and for anyio have in common: a caller's view of a `Channel`. Credentials stay valid
after close. `stream_steps` and `packet_steps` add what moves.
"""

from __future__ import annotations

import socket
from errno import EPIPE

from ..model.credentials import PeerCredentials
from ..model.errors import (
    BusyError,
)
from .owned_socket import Name as Name
from .owned_socket import OwnedSocket
from .peercred import open_peer_pidfd, peer_groups, peer_label
from .wrapping import as_plain_socket


class Endpoint(OwnedSocket):
    """One end of a connection: a socket that has its peer, who is known."""

    __slots__ = ()

    @property
    def peer(self) -> PeerCredentials:
        """Who is at the other end, by SO_PEERCRED: of the moment of `connect` (for a client: of the server's
        `listen`). Valid after close.
        """
        return self._channel.peer

    @property
    def peer_groups(self) -> tuple[int, ...]:
        """The peer's supplementary gids at that moment (SO_PEERGROUPS, Linux 4.13).

        Raises:
            ClosedError: asked for after close.
        """
        return peer_groups(self._open_socket())

    @property
    def peer_label(self) -> str | None:
        """The peer's security label (SO_PEERSEC), None where no security module gives one.

        Raises:
            ClosedError: asked for after close.
        """
        return peer_label(self._open_socket())

    def open_pidfd(self) -> int:
        """A descriptor for the peer's process (pidfd_open(2)), close-on-exec: readable once it has ended. The
        caller owns it.

        From SO_PEERPIDFD (Linux 6.5), which cannot be mistaken; before that from the pid, which may be somebody
        else's by now.

        Raises:
            ClosedError: asked for after close.
            ProcessLookupError: the peer has ended and was reaped, or has no pid here.
        """
        return open_peer_pidfd(self._open_socket())

    def end_receiving(self) -> None:
        """Take no more from the peer (SHUT_RD): what it has sent can be received, then comes the end; what it sends
        from now on fails with EPIPE. Harmless if repeated, or if the stream is closed.
        """
        self._channel.end_receiving()

    def _send_failed(self, error: OSError, sent: int) -> Exception:
        if error.errno == EPIPE:
            self._is_refused = True
        return super()._send_failed(error, sent)

    def _detach_socket(self) -> tuple[socket.socket, bytes]:
        self._open_socket()
        if self._receiving or self._sending:
            raise BusyError(f"a {self._user} is using this {self._what}", hint="end that first, then detach")
        _ = self._channel.peer  # while it can be asked
        self._is_detached = True
        channel = self._channel
        given, unread = channel.detach()
        return as_plain_socket(given, is_ours=channel.is_ours), unread
