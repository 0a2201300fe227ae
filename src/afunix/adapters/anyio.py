"""Unix sockets for programs on anyio, so on asyncio and on trio: `connect`, `listen`, `pair`, `attach`.

What they return is what `anyio.connect_unix` and `anyio.create_unix_listener` return, and does what those do not: a
full backlog is waited for, no live server loses its path, a listener removes its own, descriptors arrive
close-on-exec and none is lost unseen. Needs anyio: `pip install 'afunix[anyio]'`.
"""

from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING, TypeAlias

try:
    from .anyio_listener import Listener, Manner, inherited
    from .anyio_stream import Stream, attach, must_be_sensible, observer_for, stream_on
except ImportError as error:
    if error.name is None or error.name.partition(".")[0] != "anyio":
        raise
    raise ImportError(
        "afunix.adapters.anyio needs anyio 4.10 or later: pip install 'afunix[anyio]'", name=error.name
    ) from error
from anyio import current_time, sleep
from anyio.lowlevel import checkpoint

from ..kernel.adopting import open_pair
from ..kernel.dialling import Dialling, abandon
from ..kernel.guarding import guarded
from ..kernel.listener import Listener as BoundListener
from ..kernel.listener import Ownership
from ..kernel.origin import caller
from ..kernel.requirement import Requirement, must_be_rules
from ..model.address import Address, AddressKind
from ..model.events import Observer
from ..model.rules import Rules

if TYPE_CHECKING:
    from ..model.retry import Retry

__all__ = ["Listener", "Stream", "attach", "connect", "listen", "pair"]

Written: TypeAlias = Address | str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""An address as people write it: `/run/app.sock`, `@name`, a Path, or parsed already."""


async def connect(
    address: Written,
    *,
    timeout: float | None = None,
    wait: float | Retry | None = None,
    require: Rules | str | None = None,
    accept_fds: int = 0,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> Stream:
    """A stream to the server at `address`; the caller owns it. A checkpoint; cancelled, it leaves nothing open.

    A full backlog is waited for, `timeout` seconds at most; with `wait` (seconds, or a Retry) also a server that is
    not there yet. `require` says who the server must be: one subject such as `user:app`, or Rules; nothing is sent
    before that is known. `accept_fds` is how many descriptors may come in one message, 0 to 253. `observer` is told of
    every call; None: `logging` at debug level, if that is on.

    Raises:
        NoSuchSocketError, NobodyListensError, DeniedError, NotASocketError, WrongTypeError: what stands in the way;
            each is an OSError, too.
        TimedOutError: naming the last of those. PeerMismatchError: the server is somebody else.
        AddressError, TypeError, ValueError: arguments that cannot be meant.
    """
    must_be_sensible(accept_fds, send_timeout)
    observer = observer_for(observer)
    requirement = None if require is None else Requirement.of(require)
    where = Address.of(address)
    dialling = Dialling(
        where,
        "stream",
        timeout=timeout,
        wait=wait,
        takes_descriptors=accept_fds > 0,
        observer=observer,
        clock=current_time,
        in_program=True,
    )
    await checkpoint()
    sock = await _dial(dialling)
    try:
        if requirement is not None:
            requirement.check(sock, where)
    except BaseException:
        abandon(sock, where, observer)
        raise
    is_ours = where.kind is not AddressKind.INHERITED
    return stream_on(sock, accept_fds, send_timeout, observer=observer, opened_at=caller(), is_ours=is_ours)


async def _dial(dialling: Dialling) -> socket.socket:
    with closing(dialling.steps()) as steps:
        while True:
            try:
                needed = next(steps)
            except StopIteration as connected:
                sock: socket.socket = connected.value
                return sock
            await sleep(needed.seconds)


def listen(
    address: Written | BoundListener,
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
) -> Listener:
    """A listener at `address`; the caller owns it. All is as for `afunix.listen`.

    `address` may also be what `afunix.systemd.listeners` returns, which is then the listener's.

    Whom `rules` refuse is closed unread. `observer` is told of every call, of clients (`Accepted`, `Refused`), and when a
    shortage of descriptors begins and ends (`AcceptPaused`, `AcceptResumed`). None: `logging` at debug level, if that is
    on; the shortage is a warning there in any case.

    Raises:
        AddressInUseError: somebody alive holds the name; who, is in the message.
        NotASocketError: another kind of file is there.
        NoSuchSocketError, DeniedError: the directory is missing, or not writable.
        AddressError: what cannot be bound, or a user or group that does not exist.
    """
    must_be_sensible(accept_fds, send_timeout)
    must_be_rules(rules)
    alerts, observer = guarded(observer), observer_for(observer)
    manner = Manner(rules, accept_fds, send_timeout, observer, alerts, caller())
    if isinstance(address, BoundListener):
        return Listener(address, manner)
    ownership = Ownership.of(mode, owner, group, replace, keep)
    where = Address.of(address)
    if where.kind is AddressKind.INHERITED:
        return inherited(where, manner)
    core = BoundListener.open(
        where, "stream", ownership, backlog=backlog, accepts_fds=accept_fds > 0, observer=observer
    )
    return Listener(core, manner)


def pair(*, accept_fds: int = 0, send_timeout: float | None = None) -> tuple[Stream, Stream]:
    """Two streams, connected with each other; the caller owns both.

    Raises:
        TypeError, ValueError: an argument that cannot be meant. OSError: out of descriptors.
    """
    must_be_sensible(accept_fds, send_timeout)
    opened_at, observer = caller(), observer_for(None)
    one, other = (
        stream_on(sock, accept_fds, send_timeout, observer=observer, opened_at=opened_at)
        for sock in open_pair(takes_descriptors=accept_fds > 0)
    )
    return one, other
