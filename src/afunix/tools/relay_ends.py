"""What may stand at the far end of a relay: from the kind of an address to the endpoint that reaches it.

A scheme's file in `endpoints/` is imported when an address asks for it. How a connection is made is its own business;
what is asked of all of them is `Dial`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from socket import SocketType

from ..endpoints.base import Endpoint
from ..kernel.channel import Channel
from ..kernel.relay_trail import RelayTrail
from ..model.address import Address, AddressKind
from ..model.errors import AddressError
from ..model.escaping import quote
from ..model.events import Observer


@dataclass(frozen=True, slots=True)
class Dial:
    """How to connect. `wait` for a server that is not there, `timeout` for each connection: seconds, None: no limit.

    `takes_descriptors`, `as_client` and `trail` (which sees circles of relays) are for Unix sockets alone, `alerts` (told
    of what a person should know, on the loop that connects) and `logs_in` (before the first connection, so that what
    stands in the way is known) for ssh.
    """

    socket_type: str = "stream"
    wait: float | None = None
    timeout: float | None = None
    takes_descriptors: bool = False
    as_client: bool = False
    make_channel: Callable[[SocketType, int], Channel] = Channel
    observer: Observer | None = None
    alerts: Observer | None = None
    logs_in: bool = False
    trail: RelayTrail | None = None


def make_endpoint(address: Address, dial: Dial) -> Endpoint:
    """The endpoint for `address`; the caller closes it.

    Raises:
        AddressError: nothing reaches such an address. AfunixError: as the endpoint, e.g. without the package it needs.
    """
    must_be_reachable(address)
    return (_make_remote if address.kind in _REMOTE else _make_unix)(address, dial)


def _make_unix(address: Address, dial: Dial) -> Endpoint:
    from ..endpoints.unix import UnixEndpoint

    return UnixEndpoint(
        address,
        dial.socket_type,
        wait=dial.wait,
        timeout=dial.timeout,
        takes_descriptors=dial.takes_descriptors,
        as_client=dial.as_client,
        make_channel=dial.make_channel,
        observer=dial.observer,
        trail=dial.trail,
    )


def _make_remote(address: Address, dial: Dial) -> Endpoint:
    """An end beyond this machine."""
    file, name = _REMOTE[address.kind]
    if address.kind is AddressKind.SSH:
        return _make_ssh(address, dial)
    endpoint: Callable[..., Endpoint] = getattr(import_module(file, _ENDPOINTS), name)
    return endpoint(
        address,
        wait=dial.wait,
        timeout=dial.timeout,
        make_channel=dial.make_channel,
        observer=dial.observer,
    )


def _make_ssh(address: Address, dial: Dial) -> Endpoint:
    from ..endpoints.ssh import SshEndpoint

    endpoint = SshEndpoint(
        address,
        wait=dial.wait,
        timeout=dial.timeout,
        make_channel=dial.make_channel,
        observer=dial.observer,
        alerts=dial.alerts,
    )
    if dial.logs_in:
        endpoint.log_in()
    return endpoint


def must_be_reachable(address: Address) -> None:
    """Refuse an address beyond this machine that nothing here knows the way to.

    Raises:
        AddressError: so it is.
    """
    if address.kind in _REMOTE and find_spec(_REMOTE[address.kind][0], _ENDPOINTS) is None:
        raise AddressError(
            f"{quote(str(address))} is an address that this version does not reach",
            hint="one side is a path or @NAME of this machine, the other may be tcp:HOST:PORT",
        )


_ENDPOINTS = f"{str(__package__).rpartition('.')[0]}.endpoints"

_REMOTE = {AddressKind.TCP: (".tcp", "TcpEndpoint"), AddressKind.SSH: (".ssh", "SshEndpoint")}
"""A file of `endpoints/`, and what it calls its endpoint."""
