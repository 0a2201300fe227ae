"""The three types of Unix socket, by the words of `--type`, the kernel's numbers and the names in its headers."""

from __future__ import annotations

import socket

TYPE_NUMBERS: dict[str, int] = {
    "stream": int(socket.SOCK_STREAM),
    "dgram": int(socket.SOCK_DGRAM),
    "seqpacket": int(socket.SOCK_SEQPACKET),
}
"""`stream`, `dgram`, `seqpacket` to what socket(2) takes."""

_WORDS = {number: word for word, number in TYPE_NUMBERS.items()}


def type_word(number: int) -> str:
    """`stream` for SOCK_STREAM."""
    return _WORDS.get(number, f"type {number}")


def call_name(number: int) -> str:
    """`SOCK_STREAM`, as a trace and the man pages have it."""
    return f"SOCK_{type_word(number).upper()}"


def type_of(sock: socket.SocketType) -> int:
    """The number of an existing socket's type (SO_TYPE)."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
