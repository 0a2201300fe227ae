"""`connect`, `attach` and `pair`: how a `Stream` begins that no listener made.

What a connection needs is `kernel.dialling`'s, waited for by `dialling`; which sockets may be taken over is
`kernel.adopting`'s. Counterpart: `streams.opening`.
"""

from __future__ import annotations

import os
import socket
from typing import TypeAlias

from ..kernel.adopting import adopt, channel_for, open_pair
from ..kernel.ancillary import accept_fds_within
from ..kernel.dialling import Dialling, abandon
from ..kernel.guarding import guarded
from ..kernel.origin import caller
from ..kernel.requirement import Requirement
from ..kernel.steps import as_bytes_view
from ..model.address import Address, AddressKind
from ..model.events import Observer
from ..model.patience import must_be_limit, must_be_seconds
from ..model.retry import Retry
from ..model.rules import Rules
from .dialling import wait_through
from .stream import Stream

Written: TypeAlias = "Address | str | bytes | os.PathLike[str] | os.PathLike[bytes]"
"""An address as people write it: `/run/app.sock`, `@name`, a Path, or parsed already."""


def connect(
    address: Written,
    *,
    timeout: float | None = None,
    wait: float | Retry | None = None,
    require: str | Rules | None = None,
    accept_fds: int = 0,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> Stream:
    """A Stream to the server at `address`, a path of any length, `@name`, or `fd:3` (a connected socket that was
    inherited). The caller owns it: `with connect(…) as stream`.

    timeout        seconds for all of it, also `wait`, and then for each call: it becomes the stream's `timeout`. A full
                   backlog is waited for, without it as long as it takes.
    wait           seconds to wait for a server that is not there yet, or a Retry, which says also how often to look.
    require        who the server must be: `user:app`, `group:www`, `root`, `me`, or Rules. By SO_PEERCRED, which is
                   who called listen(2), before a byte is sent.
    accept_fds     so many descriptors may come in one message, at most 253; 0: none can be sent here.
    send_timeout   see `Stream`.
    observer       is told of every call, in the thread that makes it.

    When this fails, or the exception of a signal handler ends it, nothing is left open but an inherited socket, which is
    still its owner's.

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
    where = Address.of(address)
    _must_be_sensible(timeout, accept_fds, send_timeout)
    observer = guarded(observer)
    requirement = None if require is None else Requirement.of(require)
    is_ours = where.kind is not AddressKind.INHERITED
    dialling = Dialling(
        where,
        "stream",
        timeout=timeout,
        wait=wait,
        takes_descriptors=accept_fds > 0,
        observer=observer,
        in_program=True,
    )
    sock = wait_through(dialling)
    try:
        if requirement is not None:
            requirement.check(sock, where)
        return Stream(
            channel_for(sock, accept_fds, is_ours=is_ours, observer=observer),
            remote=where if is_ours else None,
            timeout=timeout,
            accept_fds=accept_fds,
            send_timeout=send_timeout,
            observer=observer,
            opened_at=caller(),
        )
    except BaseException:
        abandon(sock, where, observer)
        raise


def attach(
    sock: socket.socket | int,
    *,
    unread: bytes = b"",
    timeout: float | None = None,
    accept_fds: int = 0,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> Stream:
    """A Stream on a connected Unix stream socket. `unread` is received before what comes.

    It owns the descriptor from then on: a number is not the caller's to close any more, and a socket object is empty
    as after its `detach`. The blocking flag, which others may share, stays as it is. What is refused stays the
    caller's, unchanged and open.

    With `accept_fds` descriptors can be sent to it from now on; without, none is ever opened. `timeout` is how many
    seconds a call may last, also this stream's attribute; `send_timeout` see `Stream`, `observer` as for `connect`.

    Raises:
        TypeError: neither a socket nor a number, or `unread` is no bytes. ValueError: a number that cannot be meant.
        ClosedError: it is closed. NotASocketError: another kind of file. WrongTypeError: another type of Unix socket.
        AddressError: a socket of another family, a listener, or one without a peer. It is a ValueError.
    """
    _must_be_sensible(timeout, accept_fds, send_timeout)
    observer = guarded(observer)
    kept = bytes(as_bytes_view(unread, "unread"))
    channel = channel_for(adopt(sock), accept_fds, is_ours=False, observer=observer)
    channel.unread(kept)
    return Stream(
        channel,
        timeout=timeout,
        accept_fds=accept_fds,
        send_timeout=send_timeout,
        observer=observer,
        opened_at=caller(),
    )


def pair(
    *, timeout: float | None = None, accept_fds: int = 0, send_timeout: float | None = None
) -> tuple[Stream, Stream]:
    """Two Streams, connected with each other; the caller owns both. Arguments as for `attach`.

    Raises:
        TypeError, ValueError: an argument that cannot be meant. OSError: out of descriptors.
    """
    _must_be_sensible(timeout, accept_fds, send_timeout)
    opened_at = caller()
    one, other = (
        Stream(
            channel_for(sock, accept_fds, is_ours=True),
            timeout=timeout,
            accept_fds=accept_fds,
            send_timeout=send_timeout,
            opened_at=opened_at,
        )
        for sock in open_pair(takes_descriptors=accept_fds > 0)
    )
    return one, other


def _must_be_sensible(timeout: float | None, accept_fds: int, send_timeout: float | None) -> None:
    accept_fds_within(accept_fds)
    if timeout is not None:
        must_be_seconds(timeout, "timeout")
    must_be_limit(send_timeout, "send_timeout")
