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


def as_socket(fd: int, number: int = SOCK_STREAM, family: int = AF_UNIX) -> SocketType:
    """`fd`, an open socket, as an object that owns it. Its `family` and `type` say `family` and `number`, unasked.

    Raises:
        OSError: EBADF, ENOTSOCK; `fd` is then still its owner's.
    """
    return SocketType(family, number | SOCK_NONBLOCK, 0, fd)


@contextmanager
def borrowed(fd: int) -> Iterator[SocketType]:
    """The same for a moment: `fd` stays its owner's."""
    sock = as_socket(fd)
    try:
        yield sock
    finally:
        sock.detach()


def as_plain_socket(sock: SocketType, *, is_ours: bool = False) -> socket.socket:
    """`sock` as the `socket.socket` that programs expect; it owns the descriptor, and `sock` is empty afterwards.

    One that `is_ours` blocks from now on, as a new socket does. The O_NONBLOCK of any other stays as it is. Its timeout
    is None where the descriptor blocks and 0 where it does not, whatever `socket.setdefaulttimeout` says.

    That of one that is not ours is not even written back, for who shares it may change it at the same time; only where
    it blocks in a program that has a default timeout is there no other way.
    """
    blocks = is_ours or os.get_blocking(sock.fileno())
    timeout = None if blocks else 0.0
    if isinstance(sock, socket.socket) and (is_ours or sock.gettimeout() == timeout):
        plain = sock
    else:
        # As SOCK_NONBLOCK says, the flag is left alone; without it, if there is no default timeout.
        is_left_alone = 0 if blocks and socket.getdefaulttimeout() is None else SOCK_NONBLOCK
        plain = socket.socket(sock.family, sock.type | is_left_alone, sock.proto, sock.fileno())
        sock.detach()
    if is_ours or plain.gettimeout() != timeout:
        plain.setblocking(blocks)
    return plain
