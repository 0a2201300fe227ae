"""Connecting with a deadline, without an event loop: the steps are `kernel.dialling`'s, here they are waited for.

AF_UNIX has nothing to poll for while a backlog is full, so connect(2) itself waits, no longer than a slice: between
two the signals are looked at. What a fast start does not need is imported where it is used.
"""

from __future__ import annotations

import select
from contextlib import closing
from typing import TYPE_CHECKING

from ..kernel import dial
from ..kernel.channel import Channel
from ..kernel.dialling import Dialling, Room, abandon
from ..model.address import Address, AddressKind
from ..model.patience import milliseconds

if TYPE_CHECKING:
    import os
    import socket

    from ..kernel.interrupts import Interrupts
    from ..model.events import Observer
    from ..model.retry import Retry
    from ..model.rules import Rules

_SLICE_S = 0.2
"""How long one connect(2) waits for room in a backlog, so that a signal is noticed between two."""


def connect(
    address: Address | str | bytes,
    *,
    timeout: float | None = None,
    wait: float | None = None,
    socket_type: str | None = None,
    require_uid: int | None = None,
    observer: Observer | None = None,
    interrupts: Interrupts | None = None,
) -> Channel:
    """Connect to `address`; the caller owns the Channel, whose `socket.type` says what the server turned out
    to be.

    A full backlog is waited for, `timeout` seconds at most. With `wait`, also a server that is not there yet,
    for that many seconds. Without `socket_type` the type is found out. `fd:3` is a connected socket that was
    inherited. With `require_uid` the server must have called listen(2) as that user; nothing is sent before
    that is known.

    Raises:
        AfunixError: NoSuchSocket-, NobodyListens-, Denied-, NotASocket-, WrongType-, TimedOut-, PeerMismatch-
        or
            AddressError, after which nothing is left open.
        Interrupted: a signal came, if `interrupts` are given.
    """
    address = Address.of(address)
    dialling = Dialling(address, socket_type, timeout=timeout, wait=wait, observer=observer)
    sock = wait_through(dialling, interrupts)
    channel = make_channel(sock, observer, owned=address.kind is not AddressKind.INHERITED)
    if require_uid is not None:
        from ..kernel.requirement import Requirement

        try:
            Requirement.of_uid(require_uid).check(sock, address)
        except BaseException:
            close(channel, observer)
            raise
    return channel


def connect_socket(
    address: Address | str | bytes | os.PathLike[str] | os.PathLike[bytes],
    *,
    type: str = "stream",
    timeout: float | None = None,
    wait: float | Retry | None = None,
    require: str | Rules | None = None,
) -> socket.socket:
    """A connected socket for another library: http.client, httpx, redis, asyncpg. The caller owns it.

    It blocks and has no timeout, is close-on-exec, and where the kernel can (Linux 6.16) it lets the server send no
    descriptors (SO_PASSRIGHTS). One of `fd:3` has the flags that it came with. `type` is `stream`, `seqpacket` or
    `dgram`; that one has a name, so that it can be answered.

    Blocks for `timeout` seconds at most: while the server's backlog is full, and with `wait` (seconds, or a Retry)
    until there is a server. `require` is who the server must be, such as `user:app`, `group:www`, `root`, `me`, or
    Rules: by SO_PEERCRED, before it is returned.

    Raises:
        NoSuchSocketError, NobodyListensError, DeniedError, NotASocketError, WrongTypeError: what is in the way.
        TimedOutError: the deadline has passed; the last obstacle is in the message.
        PeerMismatchError: the server is somebody else.
        AddressError: what can be no address, type or rule. TypeError, ValueError: nor a number of seconds.
        OSError: out of descriptors.
        Nothing is left open then but an inherited socket, which is still its owner's.
    """
    from ..kernel.requirement import Requirement
    from ..kernel.socket_types import number_of

    number_of(type)
    address = Address.of(address)
    requirement = None if require is None else Requirement.of(require)
    sock = wait_through(Dialling(address, type, timeout=timeout, wait=wait, in_program=True))
    try:
        if requirement is not None:
            requirement.check(sock, address)
        if address.kind is not AddressKind.INHERITED:
            sock.setblocking(True)
    except BaseException:
        abandon(sock, address)
        raise
    return sock


def wait_through(dialling: Dialling, interrupts: Interrupts | None = None) -> socket.socket:
    """Go through the steps and wait where they have to; the caller owns the socket.

    Raises:
        AfunixError: as `Dialling.steps`. Interrupted: a signal came. Nothing is left open then.
    """
    with closing(dialling.steps()) as steps:
        answer = None
        while True:
            try:
                needed = steps.send(answer)
            except StopIteration as connected:
                sock: socket.socket = connected.value
                return sock
            if interrupts is not None:
                interrupts.check()
            if isinstance(needed, Room):
                seconds = _SLICE_S if needed.left is None else max(min(_SLICE_S, needed.left), 1e-6)
                answer = dial.connect_within(needed.sock, dialling.address, seconds)
            else:
                pause(needed.seconds, interrupts)
                answer = None


def make_channel(sock: socket.SocketType, observer: Observer | None, *, owned: bool = True) -> Channel:
    """A Channel for `sock`; one that tells its calls, if there is an observer."""
    if observer is None:
        return Channel(sock)
    from ..kernel.traced_channel import TracedChannel

    return TracedChannel(sock, observer=observer, owned=owned)


def close(channel: Channel, observer: Observer | None = None) -> None:
    """Close a channel and tell it; idempotent."""
    if channel.is_closed:
        return
    fd = channel.fd
    channel.close()
    if observer is not None:
        from ..model.events import Closed

        observer(Closed(fd, 0, channel.bytes_received, channel.bytes_sent))


def pause(seconds: float, interrupts: Interrupts | None = None) -> None:
    """Wait; a signal ends it early.

    Raises:
        Interrupted: a signal came.
    """
    poll = select.poll()
    if interrupts is not None:
        poll.register(interrupts.fd, select.POLLIN)
    poll.poll(milliseconds(seconds))
    if interrupts is not None:
        interrupts.check()
