"""What `tcp:HOST:PORT` stands for: a name's addresses, from getaddrinfo(3).

A numeric host is known at once. A name may be asked for over the network, so only who may wait calls `addresses_of`: a
start, or a thread (`endpoints.looking_up`).
"""

from __future__ import annotations

import socket
from typing import Any

from ..model.address import Address
from ..model.errors import AfunixError
from ..model.tcp_address import EVERY_HOST, host_and_port
from ..model.tcp_refusal import unknown_host

SocketName = tuple[int, Any]
"""The family of a socket, and what its connect and bind take."""

_CODES = {getattr(socket, name): name for name in dir(socket) if name.startswith("EAI_")}


def numeric(address: Address) -> list[SocketName] | None:
    """The one address of a host that is written as numbers; None for a name."""
    if host_and_port(address)[0] == EVERY_HOST:
        return None  # glibc would take it for this host
    try:
        return _look_up(address, socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return None


def addresses_of(address: Address, *, to_listen: bool = False) -> list[SocketName]:
    """All addresses of the host, in the order in which they are to be tried, each once; at least one.

    Raises:
        NoSuchSocketError: it has none. TimedOutError: no name server answers.
    """
    host, port = host_and_port(address)
    if host == EVERY_HOST:
        if not to_listen:
            raise unknown_host(address, "EAI_NONAME", is_temporary=False)
        return [(socket.AF_INET6, ("::", port)), (socket.AF_INET, ("0.0.0.0", port))]
    try:
        return _look_up(address, socket.AI_PASSIVE if to_listen else 0)
    except socket.gaierror as error:
        raise _explained(address, error) from None
    except UnicodeError:  # a part of the name is empty, or longer than 63 bytes
        raise unknown_host(address, "EAI_NONAME", is_temporary=False) from None


def _look_up(address: Address, flags: int) -> list[SocketName]:
    host, port = host_and_port(address)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys((int(family), name) for family, *_, name in found))


def _explained(address: Address, error: socket.gaierror) -> AfunixError:
    code = _CODES.get(error.errno or 0, f"EAI {error.errno}")
    return unknown_host(address, code, is_temporary=error.errno == socket.EAI_AGAIN)
