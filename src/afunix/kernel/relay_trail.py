"""Which relays something has come through: each says so in the name of the socket that it connects or sends with.

Relays that lead to each other in a circle would connect, or send the same datagram on, for ever. So the name is an
abstract one, `@afunix-relay/…`, with a mark of each relay on the way and a number of its own; a server can see it
(getpeername(2), recvfrom(2), ss(8)), and need not. A relay that finds its own mark there goes no further, and so the
circle unwinds; nor does one that finds as many as there is room for, for what comes round a longer circle is marked by
everybody but who looks. A client that comes by TCP has no such name: then the connection is named itself, and known by
who made it.

Not found are circles that leave Unix sockets more than once, or by ssh, or have something else than a relay in them:
they end where descriptors, or the limits of clients, do. A trail is a hint, not a proof: whoever may connect can bear
any name, and be refused for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from itertools import count
from socket import SocketType

from ..model.address import Address, AddressKind
from ..model.errors import AddressError
from ..model.escaping import quote
from ..model.events import Bound, Observer
from .channel import Channel
from .tcp import is_tcp

_PREFIX = b"\0afunix-relay/"
_MARK_BYTES = 4
_MAPPED = "::ffff:"
"""What an IPv4 address begins with at an IPv6 socket (ipv6(7))."""
_MOST = 8
"""Marks on a way that goes on; with a number of 22 digits they fill the 108 bytes of sockaddr_un."""


class RelayTrail:
    """One relay's view of it: what comes must be new, and each socket that connects, or sends, is named for who asked."""

    def __init__(self) -> None:
        self._own = os.urandom(_MARK_BYTES).hex().encode()
        self._numbers = count(1)

    def must_be_new(self, near: Channel, upstream: Address, tcp_ends: Iterable[SocketType]) -> None:
        """`tcp_ends`: the connections that this relay has made by TCP.

        Raises:
            AddressError: the client has come through this relay already, or through too many others.
        """
        marks = _marks_of(near)
        if marks:
            self._must_be_new(marks, upstream)
            if any(_mark_of_tcp(sock) in marks for sock in tcp_ends):
                raise _circle(upstream)

    def must_be_new_from(self, sender: Address, upstream: Address) -> None:
        """The same for a datagram."""
        if sender.kind is AddressKind.ABSTRACT:
            self._must_be_new(_marks_in(b"\0" + sender.name), upstream)

    def _must_be_new(self, marks: tuple[bytes, ...], upstream: Address) -> None:
        if marks[-1:] == (self._own,):
            raise AddressError(
                f"{quote(str(upstream))} leads back to this relay", hint="the second address is the server's"
            )
        if self._own in marks:
            raise _circle(upstream)
        if len(marks) >= _MOST:
            raise AddressError(
                f"it came through {_MOST} relays already, which is taken for a circle",
                hint="let one of them connect to the server",
            )

    def name(self, sock: SocketType, near: Channel, observer: Observer | None = None) -> None:
        """Name `sock`, a Unix socket that is to be connected for the client `near`. Where that is not allowed it stays
        unnamed.
        """
        came_through = _marks_of(near)
        is_unnamed = near.names is not None and not near.names[1]
        if not is_unnamed and is_tcp(near.socket):
            came_through = (_mark_of_tcp(near.socket, is_accepted=True),)
        if self._bind(sock, came_through) and observer is not None:
            observer(Bound(sock.fileno(), Address.from_kernel(sock.getsockname())))

    def name_from(self, sock: SocketType, sender: Address) -> bool:
        """Name `sock`, which is to send what comes from `sender`. False: that is not allowed, it stays unnamed."""
        is_abstract = sender.kind is AddressKind.ABSTRACT
        return self._bind(sock, _marks_in(b"\0" + sender.name) if is_abstract else ())

    def _bind(self, sock: SocketType, came_through: tuple[bytes, ...]) -> bool:
        marks = b".".join((*came_through, self._own))
        try:
            sock.bind(b"%b%b/%d" % (_PREFIX, marks, next(self._numbers)))
        except OSError:
            return False  # a security module forbids it, or somebody has that very name
        return True


def _circle(upstream: Address) -> AddressError:
    return AddressError(
        f"{quote(str(upstream))} leads back to this relay, through another one: a circle",
        hint="one of them has to connect to the server",
    )


def _marks_of(near: Channel) -> tuple[bytes, ...]:
    name = None if near.names is None else near.names[1]
    return _marks_in(name) if isinstance(name, bytes) else ()


def _marks_in(name: bytes) -> tuple[bytes, ...]:
    if not name.startswith(_PREFIX):
        return ()
    return tuple(filter(None, name[len(_PREFIX) :].partition(b"/")[0].split(b".")))


def _mark_of_tcp(sock: SocketType, *, is_accepted: bool = False) -> bytes:
    """The same at both ends, where nobody between them changes addresses; of one that is broken, nobody's."""
    try:
        ends = [sock.getsockname(), sock.getpeername()]
    except OSError:
        return b""
    if is_accepted:
        ends.reverse()
    words = repr([(host.removeprefix(_MAPPED), port) for host, port, *_ in ends])
    return hashlib.blake2b(words.encode(), digest_size=_MARK_BYTES).hexdigest().encode()
