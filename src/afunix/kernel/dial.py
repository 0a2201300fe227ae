"""The client's end: opening a socket of a type, one attempt to connect it, and taking one that was inherited.

AF_UNIX connects at once or not at all: a full backlog answers EAGAIN, and there is nothing to poll for (a
poll says "writable", and CPython then reports success). So there are two calls: `try_connect`, which never
waits, and `connect_within`, which lets connect(2) itself wait, for which its caller has a deadline. Both look
afterwards whether there is a peer. Descriptors are refused (SO_PASSRIGHTS), and out-of-band bytes stay in
their place.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from socket import AF_UNIX, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, SocketType
from typing import TYPE_CHECKING

from ..model.address import Address, AddressKind
from ..model.errors import AddressError
from ..model.escaping import quote
from .pathname import kernel_name
from .peercred import refuse_descriptors
from .socket_types import TYPE_NUMBERS, call_name

if TYPE_CHECKING:
    from ..model.events import Observer

_SO_SNDTIMEO = getattr(socket, "SO_SNDTIMEO", 21)
_TIMEVAL = struct.Struct("ll")


def open_socket(
    type_word: str, observer: Observer | None = None, *, takes_descriptors: bool = False
) -> socket.socket:
    """A new socket, non-blocking and close-on-exec, that the caller owns. For dgram it has a name, for
    answers.
    """
    number = TYPE_NUMBERS[type_word]
    sock = socket.socket(AF_UNIX, number)
    try:
        prepare(sock, takes_descriptors=takes_descriptors)
        if observer is not None:
            from ..model.events import Created

            observer(Created(sock.fileno(), call_name(number)))
        if number == SOCK_DGRAM:
            _autobind(sock, observer)
    except BaseException:
        sock.close()
        raise
    return sock


def prepare(sock: SocketType, *, takes_descriptors: bool = False) -> None:
    """Make a new socket of ours non-blocking, and what it may be sent what we expect."""
    sock.setblocking(False)
    if not takes_descriptors:
        refuse_descriptors(sock)
    if sock.type == SOCK_STREAM:
        sock.setsockopt(SOL_SOCKET, socket.SO_OOBINLINE, 1)


def _autobind(sock: SocketType, observer: Observer | None) -> None:
    """An abstract name of the kernel's choice (unix(7)): without one the server has nobody to answer to."""
    sock.bind("")
    if observer is not None:
        from ..model.events import Bound

        observer(Bound(sock.fileno(), Address(AddressKind.UNNAMED)))


def try_connect(sock: SocketType, address: Address) -> int:
    """One attempt that never waits: 0 if it is connected, else the errno; EAGAIN is a full backlog.

    Raises:
        AddressError: the name cannot be given to the kernel.
    """
    try:
        with kernel_name(address) as name:
            return sock.connect_ex(name)
    except OSError as error:  # the directory of a long path, with connect(2)'s own errno
        return error.errno or errno.EIO


def connect_within(sock: SocketType, address: Address, seconds: float) -> int:
    """The same, but wait up to `seconds` (more than 0) for room in the backlog; EAGAIN if there was none.

    A signal ends it early, with EINTR or EAGAIN.
    """
    sock.setsockopt(SOL_SOCKET, _SO_SNDTIMEO, _timeval(seconds))
    sock.setblocking(True)
    try:
        answer = try_connect(sock, address)
    finally:
        sock.setblocking(False)
        sock.setsockopt(SOL_SOCKET, _SO_SNDTIMEO, _timeval(0))
    if answer == 0 and not has_peer(sock):
        return errno.EINTR  # after a signal CPython polls, and takes "writable" for success
    return answer


def _timeval(seconds: float) -> bytes:
    microseconds = -int(-seconds * 1_000_000 // 1)  # rounded up: 0 would be for ever
    return _TIMEVAL.pack(*divmod(microseconds, 1_000_000))


def has_peer(sock: SocketType) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def close_socket(sock: SocketType, observer: Observer | None = None) -> None:
    fd = sock.fileno()
    sock.close()
    if observer is not None:
        from ..model.events import Closed

        observer(Closed(fd))


def take_connected(address: Address) -> socket.socket:
    """The connected socket of `fd:3` or `fd:NAME`, whose flags stay as they are. The caller owns it.

    Raises:
        AddressError: it is no Unix socket, or not connected.
    """
    from . import activation

    sock = activation.take(address, listening=False)
    if has_peer(sock):
        return sock
    activation.give_back(sock)
    raise AddressError(
        f"{quote(str(address))} is not connected (ENOTCONN)",
        hint="'connect' takes a socket that has its peer",
    )


def is_own_descriptor(address: Address, fds: tuple[int, ...]) -> bool:
    """Does `fd:N` name one of `fds`, or another descriptor of the same open socket?"""
    number = address.descriptor
    if number is None:
        return False
    try:
        wanted = os.fstat(number)
        return any(os.path.samestat(wanted, os.fstat(fd)) for fd in fds)
    except OSError:
        return False
