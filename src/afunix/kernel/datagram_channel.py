"""A DatagramChannel owns one datagram socket and never waits: the counterpart of `channel` without a connection.

Who sent a datagram is said by the datagram: the name of the socket, and with SO_PASSCRED the credentials of its
process. It is never cut, nor given another's descriptors, whoever else receives from the socket: one call takes all
of it (`whole_messages`).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from socket import MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_DGRAM, SOL_SOCKET, SocketType

from ..model.address import Address
from ..model.credentials import PeerCredentials
from ..model.events import (
    BytesRead,
    BytesWritten,
    CallFailed,
    DescriptorsReceived,
    DescriptorsSent,
    Observer,
)
from ..model.lifecycle import Call
from .ancillary import (
    MAX_FDS,
    SENDER_SPACE,
    close_descriptors,
    pack_descriptors,
    space_for,
    take_descriptors,
)
from .channel import Channel
from .descriptors import Received
from .pathname import kernel_name
from .peercred import SO_PASSCRED, credentials_from
from .truncation import look, must_be_whole, must_fit, refuse_cut
from .whole_messages import receive_whole

_SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL
_FDS_SPACE = space_for(MAX_FDS)


class Datagram(Received):
    """One datagram, whole: its bytes, who sent it, and the descriptors that came with it (`with` closes those that
    nobody took).

    `peer`: the credentials of the sender's process, None if they were not asked for. Those of a datagram that was
    sent before they were asked for are not `is_known`.
    """

    __slots__ = ("_name", "peer")

    def __init__(
        self, data: bytes, fds: Iterable[int], name: str | bytes | None, peer: PeerCredentials | None
    ) -> None:
        super().__init__(data, fds)
        self._name = name
        self.peer = peer

    @property
    def sender(self) -> Address:
        """What the socket that sent it is bound to; unnamed if it has no name, and then nobody can reply."""
        return Address.from_kernel(self._name)

    def __repr__(self) -> str:
        return f"<Datagram {len(self.data)} bytes from {self.sender}>"


class DatagramChannel(Channel):
    """One datagram socket, owned: `close()` closes it, garbage collection warns."""

    __slots__ = ("_credentials", "_observer")

    def __init__(self, sock: SocketType, *, credentials: bool, observer: Observer | None = None) -> None:
        super().__init__(sock)
        self._credentials = credentials
        self._observer = observer

    def try_receive_datagram(self, max_bytes: int | None = None, max_fds: int = 0) -> Datagram | None:
        """The next datagram; None if there is none yet.

        Raises:
            TruncatedError: it is longer than `max_bytes`, or brings more than `max_fds`; it stays: in the socket, or,
                if somebody else has taken the one that was looked at, here. Or they could not all be opened: then it
                stays, but if somebody else has taken the one that was looked at they are gone. Without `max_fds` what
                it brings is closed and counted.
            OSError: as recv(2).
        """
        try:
            datagram = self._held
            if datagram is None:
                look(self.socket, max_bytes, max_fds)
                datagram = self._take_datagram(max_fds)
            assert isinstance(datagram, Datagram)
            self._must_suit(datagram, max_bytes, max_fds)
        except BlockingIOError:
            return None
        except OSError as error:
            self._tell_failure(Call.READ, error)
            raise
        self._held = None
        self.bytes_received += len(datagram.data)
        if self._observer is not None:
            number, size, count = self.fd, len(datagram.data), len(datagram.fds)
            self._observer(DescriptorsReceived(number, size, count) if count else BytesRead(number, size))
        return datagram

    def _take_datagram(self, max_fds: int) -> Datagram:
        data, control, is_cut, name = receive_whole(self.socket, _FDS_SPACE if max_fds else SENDER_SPACE)
        peer = credentials_from(control) if self._credentials else None
        if not max_fds:
            self.descriptors_closed += close_descriptors(control) or is_cut
            return Datagram(data, (), name, peer)
        fds = take_descriptors(control)
        if is_cut:
            self.descriptors_closed += len(fds)
            self._held = Datagram(data, (), name, peer)
            refuse_cut(fds, max_fds)
        return Datagram(data, fds, name, peer)

    def _must_suit(self, datagram: Datagram, max_bytes: int | None, max_fds: int) -> None:
        """Is it what is asked for? If not it is kept."""
        self._held = datagram
        must_fit(len(datagram.data), max_bytes)
        if max_fds:
            must_be_whole(len(datagram.fds), max_fds)
        elif datagram.fds:
            self.descriptors_closed += len(datagram.fds)
            datagram.close()
            datagram.fds = ()

    def try_send_datagram(
        self, data: bytes | memoryview, to: Address | None = None, fds: Sequence[int] = ()
    ) -> bool:
        """Send all of `data` as one, to `to` or to whom the socket is connected; False if there is no room now.

        Raises:
            AddressError: `to` is nothing that can be sent to.
            OSError: as send(2) says: EMSGSIZE, ECONNREFUSED, ENOENT, EACCES, ENOTCONN, EPERM …
        """
        try:
            if to is None:
                self.socket.sendmsg((data,), pack_descriptors(fds), _SEND_FLAGS)
            else:
                with kernel_name(to) as name:
                    self.socket.sendmsg((data,), pack_descriptors(fds), _SEND_FLAGS, name)
        except BlockingIOError:
            return False
        except OSError as error:
            self._tell_failure(Call.WRITE, error)
            raise
        self.bytes_sent += len(data)
        if self._observer is not None:
            number, size = self.fd, len(data)
            self._observer(DescriptorsSent(number, size, len(fds)) if fds else BytesWritten(number, size))
        return True

    def _tell_failure(self, call: Call, error: BaseException) -> None:
        if self._observer is not None and isinstance(error, OSError):
            self._observer(CallFailed(self.fd, call, error.errno or 0))


def ask_for_credentials(sock: SocketType) -> None:
    """Have the kernel say with each datagram who sent it. Before bind: so none comes without."""
    sock.setsockopt(SOL_SOCKET, SO_PASSCRED, 1)


def open_probe(to: Address) -> SocketType | None:
    """A socket that is connected to `to` and never sends: it is writable when `to` has room (unix_dgram_poll).

    The caller owns it. None if it cannot be had: no descriptor is left, `to` is gone, or it takes nothing but from
    its own peer.
    """
    try:
        probe = socket.socket(socket.AF_UNIX, SOCK_DGRAM)
    except OSError:
        return None
    try:
        with kernel_name(to) as name:
            probe.connect(name)
    except OSError:
        probe.close()
        return None
    return probe
