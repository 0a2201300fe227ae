"""Sockets that become a stream's: is a given one what is expected, and which Channel moves its bytes.

One that is refused stays its owner's, and as it was. Of one that is taken no flag changes (`wrapping`), and of its
options only one: who asks for descriptors lets them in.
"""

from __future__ import annotations

import errno
import socket
from socket import AF_UNIX, SO_ACCEPTCONN, SO_DOMAIN, SOL_SOCKET, SocketType, socketpair
from typing import TYPE_CHECKING

from ..model.errors import AddressError, ClosedError, NotASocketError, WrongTypeError, errno_name
from . import fallbacks
from .ancillary import accept_fds_within
from .channel import Channel
from .dial import has_peer, prepare
from .peercred import SO_PASSRIGHTS, let_descriptors_in, refuse_descriptors
from .socket_types import family_word, number_of, type_of, type_word
from .wrapping import as_socket

if TYPE_CHECKING:
    from ..model.events import Observer

_MAX_FD = 2**31 - 1

_TAKEN_BY = {
    "stream": "afunix.attach() takes it",
    "seqpacket": "afunix.attach_packets() takes it",
    "dgram": "afunix.open_datagrams() makes those",
}


def adopt(given: socket.socket | int, wanted: str = "stream") -> SocketType:
    """The connected Unix socket `given`, of the type `wanted`; the caller owns it from now on.

    A socket object is empty afterwards, as after its `detach`. The descriptor keeps its flags. When this fails
    `given` is what it was, and whose it was.

    Raises:
        TypeError: neither a plain socket object (TLS is none) nor a number. ValueError: no descriptor has that number.
        ClosedError: it is closed. NotASocketError: another kind of file. WrongTypeError: another type of Unix socket.
        AddressError: another family, a listener, or one without a peer; it is a ValueError.
    """
    fd = _number_of(given)
    expected = f"expected a connected Unix {wanted} socket"
    try:
        sock = as_socket(fd, number_of(wanted))
    except OSError as error:
        what = f"descriptor {fd} is {'not open' if error.errno == errno.EBADF else 'no socket'}"
        kind = ClosedError if error.errno == errno.EBADF else NotASocketError
        raise kind(f"{what} ({errno_name(error.errno)}), {expected}", errno=error.errno) from None
    try:
        _must_be_connected(sock, f"descriptor {fd}", wanted, expected)
    except BaseException:
        sock.detach()
        raise
    if not isinstance(given, int):
        given.detach()
    return sock


def _number_of(given: socket.socket | int) -> int:
    if isinstance(given, int) and not isinstance(given, bool):
        if not 0 <= given <= _MAX_FD:
            raise ValueError(f"{given} is no descriptor")
        return given
    if not isinstance(given, socket.socket):
        raise TypeError(f"expected a socket or the number of a descriptor, found {type(given).__name__}")
    if type(given).recv is not socket.socket.recv:
        raise TypeError(
            f"expected a plain socket, found {type(given).__name__}, which does not receive as one does"
        )
    if given.fileno() < 0:
        raise ClosedError("this socket is closed or detached, expected a connected one")
    return given.fileno()


def _must_be_connected(sock: SocketType, what: str, wanted: str, expected: str) -> None:
    family = sock.getsockopt(SOL_SOCKET, SO_DOMAIN)
    if family != AF_UNIX:
        raise AddressError(f"{what} is a socket of the family {family_word(family)}, {expected}")
    found = type_word(type_of(sock))
    if found != wanted:
        raise WrongTypeError(
            f"{what} is a {found} socket, {expected} (EPROTOTYPE)", hint=_TAKEN_BY.get(found)
        )
    if sock.getsockopt(SOL_SOCKET, SO_ACCEPTCONN):
        raise AddressError(f"{what} listens, {expected}", hint="accept() gives connected ones")
    if not has_peer(sock):
        raise AddressError(f"{what} is not connected (ENOTCONN), {expected}", hint="connect it first")


def open_pair(word: str = "stream", *, takes_descriptors: bool = False) -> tuple[SocketType, SocketType]:
    """Two sockets, connected with each other, non-blocking and close-on-exec; the caller owns them."""
    one, other = socketpair(AF_UNIX, number_of(word))
    try:
        for sock in (one, other):
            prepare(sock, takes_descriptors=takes_descriptors)
    except BaseException:
        one.close()
        other.close()
        raise
    return one, other


def channel_for(
    sock: SocketType, accept_fds: int = 0, *, is_ours: bool, observer: Observer | None = None
) -> Channel:
    """The Channel for a socket from which at most `accept_fds` descriptors are taken at once; it owns `sock`.

    To one that `is_ours` nobody can send any if they are not asked for, where the kernel can refuse them; one that
    others may hold, too, is left as it is. An observer is told its calls, which never send us SIGPIPE.

    Raises:
        TypeError, ValueError: see `accept_fds_within`; the socket is as it was, and whose it was.
    """
    accept_fds_within(accept_fds)
    if accept_fds:
        refuses = False
        let_descriptors_in(sock)
    else:
        refuses = refuse_descriptors(sock) if is_ours else _refuses_descriptors(sock)
    channel = _channel(sock, refuses, observer)
    channel.is_ours = is_ours
    return channel


def _channel(sock: SocketType, refuses: bool, observer: Observer | None) -> Channel:
    if observer is not None:
        from .traced_channel import TracedChannel

        return TracedChannel(sock, observer=observer, owned=False)
    if refuses:
        return Channel(sock)
    from .discarding_channel import DiscardingChannel

    return DiscardingChannel(sock)


def _refuses_descriptors(sock: SocketType) -> bool:
    if fallbacks.is_forced("passrights"):
        return False
    try:
        return not sock.getsockopt(SOL_SOCKET, SO_PASSRIGHTS)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        return False
