"""`relay`: a server between its clients and another one, as a program asks for it; what cannot be meant is refused here.

What it then does is `relay_server`'s. The relay of the command line is `tools.relay`, which has ends beyond this machine
and a loop of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import cast

from ..kernel.dialling import Dialling
from ..kernel.guarding import must_be_observer
from ..kernel.listener import Ownership
from ..kernel.numbers import must_be_int
from ..kernel.requirement import Requirement, must_be_rules
from ..model.address import Address
from ..model.errors import AddressError
from ..model.escaping import quote
from ..model.events import Observer
from ..model.retry import Retry
from ..model.rules import Rules
from .opening import Addressed as Reachable
from .relay_server import RelayServer, leads_back
from .server import Server
from .server_listeners import Addressed, must_be_addressed
from .serving import must_be_limits, must_be_times


def relay(
    listen: Addressed | Sequence[Addressed],
    connect: Reachable,
    *,
    socket_type: str | None = None,
    mode: int = 0o600,
    owner: str | int | None = None,
    group: str | int | None = None,
    replace: bool = False,
    keep: bool = False,
    backlog: int | None = None,
    rules: Rules | None = None,
    max_clients: int | None = None,
    max_per_user: int | None = None,
    wait: float | Retry | None = None,
    timeout: float | None = None,
    require: str | Rules | None = None,
    pass_fds: bool = False,
    idle_timeout: float | None = None,
    observer: Observer | None = None,
) -> Server:
    """A server that connects each client of `listen` to the server at `connect`, and passes on what both send.

    Each direction ends alone: a half-close is passed on, and the other one goes on. Who reads no more is no longer
    written to, and his sender gets EPIPE; a reset comes out as an end, after the bytes before it. Nothing is read that
    the other end has no room for, and a pair that stalls holds up itself alone. Bytes go without a copy (splice(2))
    where nobody observes and the kernel keeps descriptors away; packets keep their boundaries.

    The server at `connect` sees this process for every client (SO_PEERCRED): `rules` say who may come here.

    It is a Server, and lives as one: `async with`, `run_until_signal`, `drain`, `aclose`, `stats`, whose bytes are those
    from and to clients. `mode` to `backlog`, `rules`, `max_clients` and `max_per_user` are as for `serve`;
    each client takes two descriptors. At the stop clients can send no more (SHUT_RD); what they sent is passed on, and
    then the end, and they get the answer. A server that goes on talking holds up `aclose` as long as bytes move.

    A client whose connection cannot be had is closed unread. Why, is told to `observer` (HandlerFailed, with the error
    that `connect` raises), and without one to the loop's exception handler; so it is of what cannot be passed on: a
    packet that is too long (EMSGSIZE), or descriptors, where the kernel lets them in (EOPNOTSUPP). Short of descriptors
    or memory, clients wait.

    Args:
        listen: where clients come: an address or a listener, as for `serve`, or several in a list.
        connect: a path, `@name` or an Address; nobody has to be there at the start.
        socket_type: "stream" or "seqpacket", on both sides. None: that of a given listener, otherwise "stream".
        wait: seconds for which a client waits for a server that is not there yet, or a Retry. One that leaves
            meanwhile is forgotten.
        timeout: seconds for each connection, also `wait`. A full backlog is waited for, without it as long as it takes.
        require: who the server must be, as for `connect`: a client of another one is closed before a byte is passed on,
            and PeerMismatchError is told.
        pass_fds: descriptors go on, each with the byte or the packet that it came with. Otherwise their sender gets
            EPERM; before Linux 6.16, and on an inherited listener, they end their pair.
        idle_timeout: a pair in which no byte has moved for so many seconds is closed. None: never.
        observer: is told of every call and client (`afunix.events`), those of the connections to `connect`, too, and
            of resets (ResetPassedOn). None: as for `serve`.

    Raises:
        TypeError, ValueError: arguments that cannot be meant. AddressError (a ValueError): `connect` is where it
            listens, or beyond this machine: that is for the command, `afunix relay`. WrongTypeError, by the start: a
            listener of another type was given. A relay that reaches itself by another name tells each client's
            AddressError.
    """
    addresses = _each(listen)
    upstream = Address.of(connect)
    if not upstream.is_unix:
        raise AddressError(
            f"{quote(str(upstream))} is not a server's address, expected a path or @name",
            hint="'afunix relay' reaches other machines",
        )
    if any(_is_named(address, upstream) for address in addresses):
        raise leads_back(upstream)
    if socket_type not in (None, "stream", "seqpacket"):
        raise ValueError(f"socket_type is {socket_type!r}, expected 'stream' or 'seqpacket'")
    Dialling(upstream, wait=wait, timeout=timeout)  # are these seconds?
    requirement = None if require is None else Requirement.of(require)
    must_be_rules(rules)
    if observer is not None:
        must_be_observer(observer)
    must_be_int(mode, "mode", "a number such as 0o600")
    if backlog is not None:
        must_be_int(backlog, "backlog", "how many clients may wait")
    must_be_limits(max_clients=max_clients, max_per_user=max_per_user)
    must_be_times(idle_timeout=idle_timeout)
    return RelayServer(
        addresses,
        upstream,
        partial(Dialling, upstream, wait=wait, timeout=timeout, takes_descriptors=pass_fds, in_program=True),
        lambda: Ownership.of(mode, owner, group, replace, keep),
        socket_type=socket_type,
        requirement=requirement,
        max_clients=max_clients,
        idle_timeout=idle_timeout,
        pass_fds=pass_fds,
        backlog=backlog,
        rules=rules,
        max_per_user=max_per_user,
        observer=observer,
    )


def _each(listen: Addressed | Sequence[Addressed]) -> tuple[Addressed, ...]:
    is_one = isinstance(listen, (str, bytes)) or not isinstance(listen, Sequence)
    addresses = (cast(Addressed, listen),) if is_one else tuple(cast(Sequence[Addressed], listen))
    if not addresses:
        raise ValueError("relay() was given no address: where is it to listen?")
    for address in addresses:
        must_be_addressed(address)
    return addresses


def _is_named(address: Addressed, upstream: Address) -> bool:
    return isinstance(address, (Address, str, bytes, os.PathLike)) and Address.of(address) == upstream
