"""A descriptor as a socket object, of which nothing changes: not even what Python would change.

`socket.setdefaulttimeout` makes Python set O_NONBLOCK on every descriptor that it wraps, for everybody who holds it.
Told that the socket is non-blocking, it leaves the flag as it is, and never waits by itself.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from socket import AF_UNIX, SOCK_NONBLOCK, SOCK_STREAM, SocketType


def as_socket(fd: int, number: int = SOCK_STREAM) -> SocketType:
    """`fd`, an open socket, as an object that owns it. Its `family` and `type` say AF_UNIX and `number`, unasked.

    Raises:
        OSError: EBADF, ENOTSOCK; `fd` is then still its owner's.
    """
    return SocketType(AF_UNIX, number | SOCK_NONBLOCK, 0, fd)


@contextmanager
def borrowed(fd: int) -> Iterator[SocketType]:
    """The same for a moment: `fd` stays its owner's."""
    sock = as_socket(fd)
    try:
        yield sock
    finally:
        sock.detach()


def as_plain_socket(sock: SocketType) -> socket.socket:
    """`sock` as the `socket.socket` that programs expect; it owns the descriptor, and `sock` is empty afterwards.

    Its timeout is None where the descriptor blocks, 0 where it does not; 0 too under `socket.setdefaulttimeout`,
    which would change the descriptor.
    """
    if isinstance(sock, socket.socket):
        return sock
    waits = os.get_blocking(sock.fileno()) and socket.getdefaulttimeout() is None
    kind = sock.type if waits else sock.type | SOCK_NONBLOCK
    plain = socket.socket(sock.family, kind, sock.proto, sock.fileno())
    sock.detach()
    return plain
