"""A datagram socket from nothing, from a name, or inherited: what `open_datagrams` waits on afterwards.

Options that concern who may send what are set before the socket has a name: from then on datagrams come.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from socket import AF_UNIX, SOCK_DGRAM, SocketType

from ..model.address import MAX_NAME_BYTES, Address, AddressKind
from ..model.errors import WrongTypeError
from ..model.escaping import quote
from ..model.events import Bound, Created, Observer
from . import activation, obstacle
from .datagram_channel import ask_for_credentials
from .dial import prepare, try_connect
from .listener import Listener, Ownership
from .peercred import let_descriptors_in
from .socket_types import call_name, type_word


@dataclass(frozen=True, slots=True)
class Wishes:
    """What may come with a datagram, and who is told of the calls."""

    accepts_fds: bool = False
    credentials: bool = True
    observer: Observer | None = None

    def configure(self, sock: SocketType) -> None:
        if self.credentials:
            ask_for_credentials(sock)


def open_named(address: Address, ownership: Ownership, wishes: Wishes) -> Listener:
    """A socket that is bound to a path or an abstract name; or the inherited one that `fd:` names. The caller's.

    Raises:
        WrongTypeError: the inherited one is of another type. Otherwise as `Listener.open` and `activation.take`.
    """
    if address.kind is not AddressKind.INHERITED:
        return Listener.open(
            _from_everywhere(address),
            "dgram",
            ownership,
            configure=wishes.configure,
            accepts_fds=wishes.accepts_fds,
            observer=wishes.observer,
        )
    sock = activation.take(address)
    inherited = Listener.take(Address.from_kernel(sock.getsockname()), sock)
    try:
        prepare_given(inherited, wishes)
    except BaseException:
        activation.give_back(sock)
        raise
    return inherited


def _from_everywhere(address: Address) -> Address:
    """A relative path made absolute: the name is what others reply to, from directories of their own."""
    if address.kind is not AddressKind.PATHNAME or address.name.startswith(b"/"):
        return address
    path = os.path.join(os.getcwdb(), address.name.removeprefix(b"./"))
    return Address.pathname(path) if len(path) <= MAX_NAME_BYTES else address


def prepare_given(listener: Listener, wishes: Wishes) -> None:
    """Let a socket that others may hold, too, bring what is wished for; what is not, stays as it is.

    Raises:
        WrongTypeError: it is of another type. Nothing has changed.
    """
    if listener.type != SOCK_DGRAM:
        found = type_word(listener.type)
        raise WrongTypeError(
            f"{quote(str(listener.address))} is a {found} socket, expected a dgram one (EPROTOTYPE)"
        )
    wishes.configure(listener.socket)
    if wishes.accepts_fds:
        let_descriptors_in(listener.socket)


def open_nameless(wishes: Wishes) -> Listener:
    """A socket with an abstract name of the kernel's choice (unix(7)): without one nobody could reply. The caller's."""
    sock = socket.socket(AF_UNIX, SOCK_DGRAM)
    try:
        prepare(sock, takes_descriptors=wishes.accepts_fds)
        wishes.configure(sock)
        if wishes.observer is not None:
            wishes.observer(Created(sock.fileno(), call_name(SOCK_DGRAM)))
        sock.bind("")
        address = Address.from_kernel(sock.getsockname())
        if wishes.observer is not None:
            wishes.observer(Bound(sock.fileno(), address))
        return Listener(sock, address, observer=wishes.observer)
    except BaseException:
        sock.close()
        raise


def connect(sock: SocketType, to: Address) -> None:
    """Make `to` the only one that `sock` takes datagrams from, and sends to unless it is told otherwise.

    Raises:
        AfunixError: NoSuchSocket-, NobodyListens-, Denied-, NotASocket-, WrongType- or AddressError.
    """
    number = try_connect(sock, to)
    if number:
        raise cannot_send(to, number)


def cannot_send(to: Address, number: int) -> Exception:
    """What errno `number` says of `to`, in words."""
    from ..model.refusal import refusal

    return refusal(obstacle.look(to, number, wanted_type="dgram"), in_program=True)
