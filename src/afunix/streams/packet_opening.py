"""`connect_packets`, `attach_packets` and `listen_packets`: how a `PacketStream` begins. Counterpart of `opening` and
`listening`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any, cast

from ..kernel.adopting import adopt, channel_for
from ..kernel.ancillary import accept_fds_within
from ..kernel.dialling import abandon
from ..kernel.listener import Ownership
from ..kernel.requirement import must_be_rules
from ..model.address import Address, AddressKind
from ..model.events import Observer
from ..model.patience import must_be_limit
from ..model.retry import Retry
from ..model.rules import Rules
from .listener_opening import open_listener
from .listening import Listener
from .observing import observer_for
from .opening import Addressed, must_have_a_loop, open_connection, remote_of
from .packets import PacketStream
from .waiting import caller


def connect_packets(
    address: Addressed,
    *,
    timeout: float | None = None,
    wait: float | Retry | None = None,
    require: str | Rules | None = None,
    accept_fds: int = 0,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> Coroutine[Any, Any, PacketStream]:
    """Await it: a PacketStream to the server at `address`, which has to be of type seqpacket. Otherwise as `connect`.

    Raises:
        WrongTypeError: the server is of another type (EPROTOTYPE). Otherwise as `connect`.
    """
    # No `async def`: who called is known only now, if a task is made of it.
    return _connect(address, timeout, wait, require, accept_fds, send_timeout, observer, caller())


async def _connect(
    written: Addressed,
    timeout: float | None,
    wait: float | Retry | None,
    require: str | Rules | None,
    accept_fds: int,
    send_timeout: float | None,
    observer: Observer | None,
    opened_at: str | None,
) -> PacketStream:
    address = Address.of(written)
    _must_be_sensible(accept_fds, send_timeout)
    observer = observer_for(observer)
    sock = await open_connection(
        address,
        "seqpacket",
        timeout=timeout,
        wait=wait,
        require=require,
        takes_descriptors=accept_fds > 0,
        observer=observer,
    )
    try:
        is_ours = address.kind is not AddressKind.INHERITED
        return PacketStream(
            channel_for(sock, accept_fds, is_ours=is_ours, observer=observer),
            remote=remote_of(address),
            loop=asyncio.get_running_loop(),
            accept_fds=accept_fds,
            send_timeout=send_timeout,
            observer=observer,
            opened_at=opened_at,
        )
    except BaseException:
        abandon(sock, address, observer)
        raise


def attach_packets(
    sock: socket.socket | int,
    *,
    accept_fds: int = 0,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> PacketStream:
    """A PacketStream on a connected Unix socket of type seqpacket, such as one that `detach` gave away, in the running
    loop. Otherwise as `attach`.

    Raises:
        WrongTypeError: another type of Unix socket. Otherwise as `attach`.
    """
    must_have_a_loop("attach_packets")
    _must_be_sensible(accept_fds, send_timeout)
    observer = observer_for(observer)
    return PacketStream(
        channel_for(adopt(sock, "seqpacket"), accept_fds, is_ours=False, observer=observer),
        loop=asyncio.get_running_loop(),
        accept_fds=accept_fds,
        send_timeout=send_timeout,
        observer=observer,
        opened_at=caller(),
    )


class PacketListener(Listener):
    """A Listener whose clients are PacketStreams. `listen_packets` makes it."""

    async def accept(self) -> PacketStream:  # type: ignore[override]  # its sockets are of type seqpacket
        """The next client; waits for one. As `Listener.accept`."""
        return cast(PacketStream, await super().accept())

    def __aiter__(self) -> PacketListener:
        return self

    async def __anext__(self) -> PacketStream:  # type: ignore[override]
        return cast(PacketStream, await super().__anext__())


def listen_packets(
    address: Addressed,
    *,
    mode: int = 0o600,
    owner: str | int | None = None,
    group: str | int | None = None,
    replace: bool = False,
    keep: bool = False,
    backlog: int | None = None,
    rules: Rules | None = None,
    accept_fds: int = 0,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> PacketListener:
    """A listening seqpacket socket at `address`; the caller owns it. Otherwise as `listen`. `serve` takes it, too.

    Raises:
        WrongTypeError: the inherited socket that `fd:` names is of another type; it stays open. Otherwise as `listen`.
    """
    _must_be_sensible(accept_fds, send_timeout)
    must_be_rules(rules)
    observer = observer_for(observer)
    ownership = Ownership.of(mode, owner, group, replace, keep)
    core = open_listener(address, ("seqpacket",), ownership, backlog, accept_fds, observer)
    return PacketListener(
        core,
        rules=rules,
        accept_fds=accept_fds,
        send_timeout=send_timeout,
        observer=observer,
        opened_at=caller(),
    )


def _must_be_sensible(accept_fds: int, send_timeout: float | None) -> None:
    accept_fds_within(accept_fds)
    must_be_limit(send_timeout, "send_timeout")
