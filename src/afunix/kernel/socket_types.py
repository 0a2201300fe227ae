"""The three types of Unix socket, by the words of `--type`, the kernel's numbers and the names in its headers.

And how a socket of another family is called that was handed to us by mistake.
"""

from __future__ import annotations

import socket

from ..model.errors import AddressError
from ..model.escaping import quote

TYPE_NUMBERS: dict[str, int] = {
    "stream": int(socket.SOCK_STREAM),
    "dgram": int(socket.SOCK_DGRAM),
    "seqpacket": int(socket.SOCK_SEQPACKET),
}
"""`stream`, `dgram`, `seqpacket` to what socket(2) takes."""

_WORDS = {number: word for word, number in TYPE_NUMBERS.items()}


def number_of(word: str) -> int:
    """SOCK_STREAM for `stream`.

    Raises:
        AddressError: another word.
    """
    try:
        return TYPE_NUMBERS[word]
    except (KeyError, TypeError):
        words = ", ".join(TYPE_NUMBERS)
        raise AddressError(f"{quote(str(word))} is no type of Unix socket: expected one of {words}") from None


def type_word(number: int) -> str:
    """`stream` for SOCK_STREAM."""
    return _WORDS.get(number, f"type {number}")


def call_name(number: int) -> str:
    """`SOCK_STREAM`, as a trace and the man pages have it."""
    return f"SOCK_{type_word(number).upper()}"


def family_word(number: int) -> str:
    """`AF_INET` for 2."""
    try:
        return socket.AddressFamily(number).name
    except ValueError:
        return str(number)


def type_of(sock: socket.SocketType) -> int:
    """The number of an existing socket's type (SO_TYPE)."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
