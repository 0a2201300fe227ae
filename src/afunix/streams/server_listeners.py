"""What a server is to listen on: addresses to bind, and listeners that somebody else opened and gives away.

A listener that is given stays its owner's until the server has started: see `take_all`. Counterpart: `listening`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from socket import AF_UNIX, SO_ACCEPTCONN, SOCK_DGRAM, SOL_SOCKET
from typing import TypeAlias

from ..kernel.listener import Listener as BoundListener
from ..kernel.listener import Ownership
from ..model.address import Address
from ..model.errors import AddressError, ClosedError, WrongTypeError
from ..model.events import Observer
from .listener_opening import open_listener
from .listening import Listener, Written

Addressed: TypeAlias = "Written | Listener | BoundListener | socket.socket"
"""Where a server listens: an address, or a listener that becomes the server's."""


def must_be_addressed(given: object) -> None:
    """Is it something that a server can listen on?

    Raises:
        TypeError, AddressError: it is not.
    """
    if isinstance(given, (Listener, BoundListener, socket.socket)):
        return
    if not isinstance(given, (Address, str, bytes, os.PathLike)):
        raise TypeError(
            f"an address is {type(given).__name__}, expected a path, @name, an Address or a listener"
        )
    Address.of(given)


def open_all(
    addresses: Iterable[Addressed],
    ownership: Ownership,
    backlog: int | None,
    accept_fds: int,
    observer: Observer | None,
    undo: ExitStack,
    types: tuple[str, ...] = ("stream", "seqpacket"),
) -> list[BoundListener]:
    """Listeners for all of `addresses`. Those that are made here are closed by `undo`; the others, and what `fd:` names,
    are still their owners' until `take_all`. What is bound is of the first of `types`, what is inherited of any.
    """
    listeners: list[BoundListener] = []
    for each in addresses:
        if isinstance(each, Listener):
            each._must_be_free()
            if each._rules:
                raise ValueError(
                    "this listener has rules, which a server does not ask: give them to the server"
                )
            listener = each._core
        elif isinstance(each, BoundListener):
            listener = each
        elif isinstance(each, socket.socket):
            listener = _given_socket(each, observer)
            undo.callback(listener.release)
        else:
            listener = open_listener(each, types, ownership, backlog, accept_fds, observer)
            undo.callback(listener.give_back if listener.is_inherited else listener.close)
        _must_accept(listener)
        if listener.fd in (other.fd for other in listeners):
            raise AddressError(f"the listener on {listener.address} was given twice, expected once")
        listeners.append(listener)
    return listeners


def take_all(addresses: Iterable[Addressed], listeners: Iterable[BoundListener], accept_fds: int) -> None:
    """Those of `addresses` that were given to a server are its own from now on; after `open_all` made `listeners`."""
    if accept_fds:
        for listener in listeners:
            listener.let_descriptors_in()
    for each in addresses:
        if isinstance(each, Listener):
            each._take()
        elif isinstance(each, socket.socket) and each.gettimeout():
            each.settimeout(0)  # it is non-blocking already; Python alone would wait


def _given_socket(sock: socket.socket, observer: Observer | None) -> BoundListener:
    """It is used as an inherited one is: not shut down, its path not removed (unless its own `close` does that)."""
    if sock.fileno() < 0:
        raise ClosedError("this socket is closed, expected a listening Unix socket")
    if sock.family != AF_UNIX:
        raise AddressError(
            f"descriptor {sock.fileno()} is a socket of family {int(sock.family)}, expected AF_UNIX"
        )
    if sock.type != SOCK_DGRAM and not sock.getsockopt(SOL_SOCKET, SO_ACCEPTCONN):
        raise AddressError(f"descriptor {sock.fileno()} does not listen, expected a listening Unix socket")
    return BoundListener.take(Address.from_kernel(sock.getsockname()), sock, observer=observer)


def _must_accept(listener: BoundListener) -> None:
    if listener.fd < 0:
        raise ClosedError(f"the listener on {listener.address} is closed")
    if listener.type == SOCK_DGRAM:
        raise WrongTypeError(
            f"the socket on {listener.address} is of type dgram, expected stream or seqpacket",
            hint="nobody connects to it: open_datagrams() receives from everybody",
        )
