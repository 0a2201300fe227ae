"""`connect`, `attach` and `pair`: how a `Stream` begins that no server made.

What a connection needs is `kernel.dialling`'s, which sockets may be taken over `kernel.adopting`'s; here it is waited
for, and the stream is made. Until it is there, whatever interrupts closes the socket.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from contextlib import closing
from typing import Any, TypeAlias

from ..kernel.adopting import adopt, channel_for, open_pair
from ..kernel.ancillary import accept_fds_within
from ..kernel.channel import Channel
from ..kernel.dialling import Dialling, abandon
from ..kernel.requirement import Requirement
from ..kernel.steps import as_bytes_view
from ..model.address import Address, AddressKind
from ..model.errors import WrongLoopError
from ..model.events import Observer
from ..model.patience import must_be_limit
from ..model.retry import Retry
from ..model.rules import Rules
from .observing import observer_for
from .stream import Stream
from .waiting import caller

Addressed: TypeAlias = Address | str | bytes | os.PathLike[str] | os.PathLike[bytes]


def connect(
    address: Addressed,
    *,
    timeout: float | None = None,
    wait: float | Retry | None = None,
    require: str | Rules | None = None,
    accept_fds: int = 0,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> Coroutine[Any, Any, Stream]:
    """Await it: a Stream to the server at `address`, a path of any length, `@name`, or `fd:3` (a connected socket that
    was inherited). The caller owns it: `async with await connect(…) as stream`.

    Args:
        timeout: seconds for all of it, also `wait`. A full backlog is waited for, without it as long as it takes.
        wait: seconds to wait for a server that is not there yet, or a Retry, which says also how often to look.
        require: who the server must be: `user:app`, `group:www`, `root`, `me`, or Rules. By SO_PEERCRED, which is
            who called listen(2), before a byte is sent.
        accept_fds: so many descriptors may come in one message, at most 253; 0: none can be sent here.
        send_timeout: see `Stream.send`.
        observer: is told of every call. None: `logging` at debug level, if that is on.

    Cancelled, it closes what it opened, at once. When it fails an inherited socket stays open, its owner's.

    Raises:
        NoSuchSocketError: nothing is there (ENOENT).
        NobodyListensError: a stale socket file, or nobody has called listen yet (ECONNREFUSED).
        DeniedError: no permission for the socket, or on the way to it (EACCES).
        NotASocketError: another kind of file. WrongTypeError: a socket of another type (EPROTOTYPE).
        TimedOutError: `timeout` or `wait` has passed; what stood in the way last is in the message.
        PeerMismatchError: the server is somebody else.
        AddressError: what can be no address, or no rule. TypeError, ValueError: another argument that cannot be meant.
        OSError: out of descriptors.
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
) -> Stream:
    address = Address.of(written)
    _must_be_sensible(accept_fds, send_timeout)
    observer = observer_for(observer)
    sock = await open_connection(
        address,
        "stream",
        timeout=timeout,
        wait=wait,
        require=require,
        takes_descriptors=accept_fds > 0,
        observer=observer,
    )
    try:
        channel = channel_for(
            sock, accept_fds, is_ours=address.kind is not AddressKind.INHERITED, observer=observer
        )
        return _stream(channel, opened_at, remote_of(address), accept_fds, send_timeout, observer)
    except BaseException:
        abandon(sock, address, observer)
        raise


async def open_connection(
    address: Address,
    socket_type: str,
    *,
    timeout: float | None,
    wait: float | Retry | None,
    require: str | Rules | None,
    takes_descriptors: bool,
    observer: Observer | None,
) -> socket.socket:
    """A connected socket, non-blocking, whose server is who it must be; the caller owns it.

    Raises:
        As `connect`. Then, and if it is cancelled, nothing of ours is left open.
    """
    requirement = None if require is None else Requirement.of(require)
    dialling = Dialling(
        address,
        socket_type,
        timeout=timeout,
        wait=wait,
        takes_descriptors=takes_descriptors,
        observer=observer,
        clock=asyncio.get_running_loop().time,
        in_program=True,
    )
    await asyncio.sleep(0)  # so that a task which does nothing but connect lets others run
    sock = await _wait_through(dialling)
    if requirement is not None:
        try:
            requirement.check(sock, address)
        except BaseException:
            abandon(sock, address, observer)
            raise
    return sock


async def _wait_through(dialling: Dialling) -> socket.socket:
    with closing(dialling.steps()) as steps:
        while True:
            try:
                needed = next(steps)
            except StopIteration as connected:
                sock: socket.socket = connected.value
                return sock
            await asyncio.sleep(needed.seconds)


def remote_of(address: Address) -> Address | None:
    """What a connection's other end is called: as it was asked for. Of an inherited one the kernel knows."""
    return None if address.kind is AddressKind.INHERITED else address


def attach(
    sock: socket.socket | int,
    *,
    unread: bytes = b"",
    accept_fds: int = 0,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> Stream:
    """A Stream on a connected Unix stream socket, in the running loop. `unread` is received before what comes.

    It owns the descriptor from then on: a number is not the caller's to close any more, and a socket object is empty
    as after its `detach`. The blocking flag, which others may share, stays as it is. What is refused stays the
    caller's, unchanged and open.

    With `accept_fds` descriptors can be sent to it from now on; without, none is ever opened. `send_timeout` and
    `observer` as for `connect`.

    Raises:
        WrongLoopError: no event loop is running here.
        TypeError: neither a socket nor a number, or `unread` is no bytes. ValueError: a number that cannot be meant.
        ClosedError: it is closed. NotASocketError: another kind of file. WrongTypeError: another type of Unix socket.
        AddressError: a socket of another family, a listener, or one without a peer. It is a ValueError.
    """
    must_have_a_loop("attach", "attach")
    _must_be_sensible(accept_fds, send_timeout)
    observer = observer_for(observer)
    kept = bytes(as_bytes_view(unread, "unread"))
    adopted = adopt(sock)
    channel = channel_for(adopted, accept_fds, is_ours=False, observer=observer)
    channel.unread(kept)
    return _stream(channel, caller(), None, accept_fds, send_timeout, observer)


def pair(*, accept_fds: int = 0, send_timeout: float | None = None) -> tuple[Stream, Stream]:
    """Two Streams, connected with each other, in the running loop; the caller owns both.

    Raises:
        WrongLoopError: no event loop is running here.
        TypeError, ValueError: an argument that cannot be meant. OSError: out of descriptors.
    """
    must_have_a_loop("pair", "pair")
    _must_be_sensible(accept_fds, send_timeout)
    opened_at, observer = caller(), observer_for(None)
    one, other = (
        _stream(
            channel_for(sock, accept_fds, is_ours=True, observer=observer),
            opened_at,
            None,
            accept_fds,
            send_timeout,
            observer,
        )
        for sock in open_pair(takes_descriptors=accept_fds > 0)
    )
    return one, other


def _stream(
    channel: Channel,
    opened_at: str | None,
    remote: Address | None,
    accept_fds: int,
    send_timeout: float | None,
    observer: Observer | None,
) -> Stream:
    return Stream(
        channel,
        remote=remote,
        loop=asyncio.get_running_loop(),
        accept_fds=accept_fds,
        send_timeout=send_timeout,
        observer=observer,
        opened_at=opened_at,
    )


def _must_be_sensible(accept_fds: int, send_timeout: float | None) -> None:
    accept_fds_within(accept_fds)
    must_be_limit(send_timeout, "send_timeout")


def must_have_a_loop(name: str, without_one: str | None = None) -> None:
    """Is this a coroutine's thread? `without_one` is what programs without a loop have instead of `name`.

    Raises:
        WrongLoopError: no event loop is running here.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        instead = f"; afunix.blocking.{without_one}() is for programs without a loop" if without_one else ""
        raise WrongLoopError(
            f"{name}() needs a running event loop, and none is running in this thread",
            hint=f"call it in a coroutine{instead}",
        ) from None
