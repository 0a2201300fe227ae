"""What is special about a TCP socket that is an end of a relay: its options, its name, and how it ends with a reset.

A Channel moves its bytes like those of a Unix socket. What differs: no peer credentials, no descriptors; FIONREAD and
SIOCOUTQ count bytes; and a close with everything said is orderly, so that a reset has to be asked for (tcp(7)).
"""

from __future__ import annotations

import socket
import struct
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    SO_KEEPALIVE,
    SO_LINGER,
    SO_OOBINLINE,
    SOL_SOCKET,
    SocketType,
)
from typing import Any

from ..model.address import Address
from ..model.tcp_address import tcp_address

FAMILY_NAMES = {AF_INET: "AF_INET", AF_INET6: "AF_INET6"}

_AT_ONCE = struct.pack("ii", 1, 0)
_PEER_MAY_SEND = (1, 4)
"""TCP_ESTABLISHED and TCP_FIN_WAIT1 (tcp_states.h): the peer has not said that it is done."""

_CLOSED = 7


def open_socket(family: int) -> socket.socket:
    """A new TCP socket, non-blocking and close-on-exec, with its options; the caller owns it.

    Raises:
        OSError: EAFNOSUPPORT, or out of descriptors.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        set_options(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def set_options(sock: SocketType) -> None:
    """No delay: what is relayed was written by somebody who has waited already. Keepalive at the system's own pace
    (net.ipv4.tcp_keepalive_time), so that a host that vanished does not keep its pair for ever. What a listener has,
    the sockets that it accepts have from the start.
    """
    sock.setsockopt(IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
    sock.setsockopt(SOL_SOCKET, SO_OOBINLINE, 1)


def is_tcp(sock: SocketType) -> bool:
    return sock.family in FAMILY_NAMES


def peer_may_send(sock: SocketType) -> bool:
    """Has the peer not ended its direction? Then what it sends to a closed socket is answered by a reset, which throws
    away what it has not taken of ours.
    """
    return sock.getsockopt(IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _PEER_MAY_SEND


def is_dead(sock: SocketType) -> bool:
    """Broken or ended both ways (TCP_CLOSE): what is left on it goes nowhere."""
    return sock.getsockopt(IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _CLOSED


def reset_on_close(sock: SocketType) -> None:
    """Let `close` send a reset and throw away what has not been acknowledged (SO_LINGER, socket(7))."""
    sock.setsockopt(SOL_SOCKET, SO_LINGER, _AT_ONCE)


def is_its_own_peer(sock: SocketType) -> bool:
    """Has a connect to a local port, where nobody listens, met itself? The kernel may choose that very port for us."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return False


def address_of(name: Any) -> Address:
    """What accept(2) and getaddrinfo(3) call an end, as an address."""
    host, port = name[:2]
    return tcp_address(host, port)
