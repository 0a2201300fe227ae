"""Which ends a relay cannot be made of, and what cannot be asked of those that it has. Pure: values in, an error out.

    beyond this machine    TCP or ssh: a stream of bytes, whose peer has no user here; one end at most
    STDIN and STDOUT       one client, or one server, without a socket
    datagrams              no connections: nobody to connect as, or to count

The words for a wish are the asker's: the command calls it by its option. That an end is no Unix socket may be known only
when an inherited listener has been looked at; the same question is asked again then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from .address import Address, AddressKind
from .errors import AddressError
from .escaping import quote


class Wish(Enum):
    """What may be asked of a relay, and not of every end."""

    DESCRIPTORS = "passing descriptors on"
    EACH_CLIENT = "connecting as each client"
    RECORDS = "keeping records"
    RULES = "asking who a client is"
    USER_LIMIT = "a limit for each user"
    PATIENCE = "waiting for the server"


_BETWEEN_UNIX_SOCKETS = (Wish.DESCRIPTORS, Wish.EACH_CLIENT)
_ABOUT_USERS = (Wish.RULES, Wish.USER_LIMIT)
_ABOUT_CONNECTIONS = (Wish.EACH_CLIENT, Wish.USER_LIMIT, Wish.PATIENCE)

_BEYOND = (AddressKind.TCP, AddressKind.SSH)
_WHO_MAY = {
    AddressKind.TCP: "a firewall decides who may connect to a port; or listen on a path",
    AddressKind.SSH: "the directory on the other host decides who may connect; or listen on a path here",
}


def refuse_misuse(listen: Sequence[Address], connect: Address, wishes: Mapping[Wish, str]) -> None:
    """`wishes`: what is asked for, each with what its asker calls it.

    Raises:
        AddressError: which end or which wish cannot be, and what to do instead.
    """
    here = next((address for address in listen if address.kind in _BEYOND), None)
    if here is not None and connect.kind in _BEYOND:
        raise AddressError(
            f"neither {quote(str(here))} nor {quote(str(connect))} is a socket of this machine's own kind",
            hint="one side is a path, @NAME, fd:N or '-'; between two ports a firewall rule, or 'socat', does it",
        )
    stranger = next((address for address in (*listen, connect) if not _is_local(address)), None)
    wish = _first(_BETWEEN_UNIX_SOCKETS, wishes)
    if stranger is not None and wish is not None:
        raise AddressError(
            f"{wishes[wish]} is between two Unix sockets, and {quote(str(stranger))} is none",
            hint="leave it away",
        )
    beyond = here or (connect if connect.kind in _BEYOND else None)
    if beyond is not None and Wish.RECORDS in wishes:
        raise AddressError(
            f"{wishes[Wish.RECORDS]} keeps records, and {quote(str(beyond))} is a stream of bytes",
            hint="leave it away",
        )
    wish = _first(_ABOUT_USERS, wishes)
    if here is not None and wish is not None:
        raise AddressError(
            f"{wishes[wish]} is about users, and who comes to {quote(str(here))} has none that could be known",
            hint=_WHO_MAY[here.kind],
        )


def refuse_with_datagrams(wishes: Mapping[Wish, str]) -> None:
    """What means nothing where the listeners are of type dgram.

    Raises:
        AddressError: which one.
    """
    wish = _first(_ABOUT_CONNECTIONS, wishes)
    if wish is not None:
        raise AddressError(
            f"{wishes[wish]} means nothing for a dgram socket: datagrams come without connections",
            hint="leave it away, or use stream or seqpacket",
        )


def _first(about: Sequence[Wish], wishes: Mapping[Wish, str]) -> Wish | None:
    return next((wish for wish in about if wish in wishes), None)


def _is_local(address: Address) -> bool:
    """Is it a Unix socket of this machine, as far as its name tells?"""
    return address.is_unix or address.kind in (AddressKind.INHERITED, AddressKind.UNNAMED)
