"""A Listener on a TCP port, for the one accept path: one for each address that the name has.

The port is left to a successor as soon as the queue is empty, while conversations may go on. Clients are turned away by
a filter that drops what asks for a connection: shutdown(2), which does it for Unix sockets, would reset who waits in
the queue. Who was dropped asks again a second later, and finds the successor, or nobody. An inherited one is only used:
nothing is done to it, and its options are set on what it accepts.
"""

from __future__ import annotations

import array
import errno
import os
import select
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from socket import (
    AF_INET6,
    IPPROTO_IPV6,
    IPV6_V6ONLY,
    SHUT_RD,
    SO_REUSEADDR,
    SOCK_NONBLOCK,
    SOL_SOCKET,
    SocketType,
)

from ..model.address import Address
from ..model.errors import AddressError, AfunixError
from ..model.events import Bound, Created, Direction, HalfClosed, Listening, Observer
from ..model.tcp_address import host_and_port
from ..model.tcp_refusal import tcp_bind_refusal
from . import tcp
from .backlog import check_backlog, max_backlog
from .host_names import SocketName, addresses_of
from .listener import Listener
from .tcp_holders import holders_of_port

_SO_ATTACH_FILTER = 26
"""asm-generic; socket(7). The `socket` module has no name for it."""
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
"""One instruction of a classic packet filter: return 0, so nothing is let through."""

_ABSENT_FAMILY = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_LOWEST_PORT = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


class TcpListener(Listener):
    """One listening TCP socket. Clients have no credentials; what accept(2) calls them is their address, written."""

    def __init__(
        self,
        sock: socket.socket,
        address: Address,
        *,
        inherited: bool = False,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(sock, address, inherited=inherited, observer=observer)
        self.refuses_fds = True
        self._family = sock.family
        self._is_listening = True

    @classmethod
    def open_all(
        cls,
        address: Address,
        *,
        backlog: int | None = None,
        configure: Callable[[SocketType], None] = lambda sock: None,
        observer: Observer | None = None,
    ) -> list[TcpListener]:
        """socket, bind and listen for each address of the host; one that this machine does not have is passed over as
        long as there is another. The caller owns them; nothing is left open on failure.

        Raises:
            NoSuchSocketError, TimedOutError: the name. AddressInUseError, DeniedError, AddressError: the port, or a
                negative backlog.
            OSError: out of descriptors.
        """
        check_backlog(backlog)
        names = addresses_of(address, to_listen=True)
        absent: AfunixError | None = None
        with ExitStack() as opened:
            listeners = []
            for name in names:
                try:
                    listener = cls._open(name, len(names) > 1, backlog, configure, observer)
                except AfunixError as error:
                    if error.errno not in _ABSENT_FAMILY or len(names) == 1:
                        raise
                    absent = absent or error
                    continue
                opened.callback(listener.close)
                listeners.append(listener)
            if absent is not None and not listeners:
                raise absent
            opened.pop_all()
        return listeners

    @classmethod
    def _open(
        cls,
        name: SocketName,
        has_siblings: bool,
        backlog: int | None,
        configure: Callable[[SocketType], None],
        observer: Observer | None,
    ) -> TcpListener:
        family, where = name
        address = tcp.address_of(where)
        try:
            sock = tcp.open_socket(family)
        except OSError as error:
            raise _explained(error, address) from None
        try:
            sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            if family == AF_INET6 and has_siblings:
                sock.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)  # the IPv4 address has a socket of its own
            configure(sock)
            if observer is not None:
                observer(
                    Created(sock.fileno(), "SOCK_STREAM", tcp.FAMILY_NAMES[socket.AddressFamily(family)])
                )
            _bind_and_listen(sock, where, address, max_backlog() if backlog is None else backlog, observer)
            return cls(sock, address, observer=observer)
        except BaseException:
            sock.close()
            raise

    def accept_named(self) -> tuple[SocketType, str | bytes]:
        """As `Listener.accept_named`; the client's descriptor does not block, which splice(2) needs of TCP."""
        accept = self.socket._accept if self._thread is None else self._thread.accept  # type: ignore[attr-defined]
        fd, name = accept()
        os.set_blocking(fd, False)
        sock = SocketType(self._family, self.type | SOCK_NONBLOCK, 0, fd)
        if self.is_inherited:
            tcp.set_options(sock)
        return sock, str(tcp.address_of(name))

    def let_descriptors_in(self) -> None:
        """Nothing: there are none in TCP."""

    def refuse_new(self) -> None:
        """Nobody gets into the queue from now on; those in it can still be accepted. Of an inherited one: as Listener."""
        if self.is_inherited:
            super().refuse_new()
            return
        program = array.array("B", _DROP_ALL)
        place, _ = program.buffer_info()
        try:
            self.socket.setsockopt(SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, place))
        except OSError:
            pass  # no such filters here: who comes between now and the close is reset

    def unlink(self) -> AfunixError | None:
        """Give up the port, once nobody waits in the queue: another may listen on it. Idempotent."""
        if self._is_listening and self.is_ours and not _is_readable(self.fd):
            self._is_listening = False
            self.socket.shutdown(SHUT_RD)
            if self._observer is not None:
                self._observer(HalfClosed(self.fd, Direction.RECEIVING))
        return None


def _bind_and_listen(
    sock: socket.socket, where: object, address: Address, backlog: int, observer: Observer | None
) -> None:
    try:
        sock.bind(where)  # type: ignore[arg-type]
        if observer is not None:
            observer(Bound(sock.fileno(), address))
        sock.listen(backlog)
    except OSError as error:
        raise _explained(error, address) from None
    if observer is not None:
        observer(Listening(sock.fileno(), address, backlog))


def _explained(error: OSError, address: Address) -> OSError | AfunixError:
    number = error.errno or 0
    holders = holders_of_port(host_and_port(address)[1]) if number == errno.EADDRINUSE else []
    explained = tcp_bind_refusal(address, number, holders, _lowest_port())
    if isinstance(explained, AddressError):
        explained.errno = number
    return explained or error


def _lowest_port() -> int:
    try:
        with open(_LOWEST_PORT, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
