"""Which sockets a server serves: those that it binds, and those that it was handed.

with ADDRESS      an inherited listener that is bound to it is used; otherwise it is bound, and that is said
fd:N, fd:NAME     the inherited one of that number or name
without ADDRESS   all inherited ones
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from ..kernel import activation
from ..kernel.listener import Listener, Ownership
from ..kernel.socket_types import TYPE_NUMBERS, type_word
from ..kernel.tcp import address_of, is_tcp
from ..model.address import Address, AddressKind
from ..model.errors import AddressError, WrongTypeError
from ..model.escaping import quote
from ..model.events import Observer


def open_listeners(
    addresses: Sequence[Address],
    *,
    socket_type: str | None,
    ownership: Ownership,
    backlog: int | None,
    configure: Callable[[socket.SocketType], None],
    on_unmatched: Callable[[Address, int], None],
    observer: Observer | None,
    with_tcp: bool = False,
    accepts_fds: bool = False,
) -> list[Listener]:
    """The listeners, all of one type; the caller owns them. Nothing is left open or bound when this fails.

    `with_tcp`: may an address be a TCP port, or a path on another host, and an inherited socket be one on TCP? A port
    becomes a listener for each address that its host has.

    `accepts_fds`: may clients send descriptors to what is accepted?

    `on_unmatched(address, count)`: none of `count` inherited sockets is bound to `address`, so it is bound here.

    Raises:
        AddressError: no address and nothing inherited, one address or descriptor twice, types mixed.
        WrongTypeError: an inherited socket is not of `socket_type`.
        AfunixError: as `Listener.open` and `activation.take`.
    """
    addressee = activation.addressee()
    announced = activation.inherited(with_tcp=with_tcp)
    if not addresses and not announced:
        raise _nowhere(addressee)
    if len(set(addresses)) < len(addresses):
        twice = next(address for address in addresses if addresses.count(address) > 1)
        raise AddressError(f"{quote(str(twice))} is given twice")
    wanted: list[Address] = list(addresses) or [Address.inherited(found.fd) for found in announced]
    sources = _sources(wanted, announced)
    with ExitStack() as opened:
        listeners: list[Listener] = []
        for address, source in zip(wanted, sources, strict=True):
            if source is not None:
                found: Sequence[Listener] = [_take(source, observer, with_tcp=with_tcp)]
            elif with_tcp and address.kind is AddressKind.TCP:
                if announced:
                    on_unmatched(address, len(announced))
                found = _open_tcp(address, backlog, configure, observer)
            elif with_tcp and address.kind is AddressKind.SSH:
                found = _open_ssh(address, backlog, observer)
            else:
                if announced:
                    on_unmatched(address, len(announced))
                listener = Listener.open(
                    address,
                    socket_type or "stream",
                    ownership,
                    backlog=backlog,
                    configure=configure,
                    accepts_fds=accepts_fds,
                    observer=observer,
                )
                found = [listener]
            for listener in found:
                opened.callback(listener.close)
                listeners.append(listener)
                _check_type(listener, listeners[0], socket_type)
        opened.pop_all()
    return listeners


def _nowhere(addressee: int | None) -> AddressError:
    if addressee is None:
        return AddressError(
            "ADDRESS is missing, and no socket was inherited",
            hint="write a path such as ./hello.sock, or @NAME for an abstract name",
        )
    return AddressError(
        f"ADDRESS is missing, and the inherited sockets are for process {addressee} (LISTEN_PID): this is"
        f" {os.getpid()}",
        hint="if a shell starts it, write exec in front of it",
    )


def _sources(wanted: Sequence[Address], announced: Sequence[activation.Inherited]) -> list[Address | None]:
    """For each address the inherited socket to take; None: it is to be bound.

    Raises:
        AddressError: two of them lead to one descriptor, which two owners would close twice.
    """
    matching = {found.address: found.fd for found in announced}
    named = {os.fsencode(found.name): found.fd for found in announced}
    users: dict[int, Address] = {}
    sources: list[Address | None] = []
    for address in wanted:
        if address.kind is AddressKind.INHERITED:
            fd = address.descriptor if address.name.isdigit() else named.get(address.name)
            sources.append(address)  # a number or name that is none is `activation.take`'s to refuse
        else:
            fd = matching.get(address)
            sources.append(None if fd is None else Address.inherited(fd))
        if fd is not None and users.setdefault(fd, address) is not address:
            raise AddressError(
                f"{quote(str(users[fd]))} and {quote(str(address))} are one inherited socket (descriptor {fd})",
                hint="name it once",
            )
    return sources


def _open_tcp(
    address: Address,
    backlog: int | None,
    configure: Callable[[socket.SocketType], None],
    observer: Observer | None,
) -> Sequence[Listener]:
    from ..kernel.tcp_listener import TcpListener

    return TcpListener.open_all(address, backlog=backlog, configure=configure, observer=observer)


def _open_ssh(address: Address, backlog: int | None, observer: Observer | None) -> Sequence[Listener]:
    from ..endpoints.ssh_listener import SshListener

    return [SshListener(address, backlog=backlog, observer=observer)]


def _take(address: Address, observer: Observer | None, *, with_tcp: bool) -> Listener:
    sock = activation.take(address, with_tcp=with_tcp)
    if is_tcp(sock):
        from ..kernel.tcp_listener import TcpListener

        return TcpListener.take(address_of(sock.getsockname()), sock, observer=observer)
    return Listener.take(Address.from_kernel(sock.getsockname()), sock, observer=observer)


def _check_type(listener: Listener, first: Listener, socket_type: str | None) -> None:
    found = type_word(listener.type)
    if socket_type is not None and listener.type != TYPE_NUMBERS[socket_type]:
        raise WrongTypeError(
            f"{quote(str(listener.address))} (descriptor {listener.fd}) is a {found} socket, and"
            f" --type {socket_type} was asked for",
            hint=f"leave --type away, or write --type {found}",
        )
    if listener.type != first.type:
        raise AddressError(
            f"{quote(str(listener.address))} is a {found} socket and {quote(str(first.address))} is a"
            f" {type_word(first.type)} socket: one run serves one type",
            hint="start one 'afunix serve' for each",
        )
