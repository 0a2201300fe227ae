"""What steps are: generators that move what can be moved, and yield what they need before they can go on.

`receive_steps`, `send_steps` and `packet_steps` are written in these words, and so is every face that goes through
them: `streams.waiting`, `blocking.waiting`, `adapters.anyio_waiting`. Nothing here knows a socket.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Data: TypeAlias = bytes | bytearray | memoryview
"""What can be sent; any other object with a contiguous buffer works, too."""

FILE_CHUNK_BYTES = 256 * 1024
"""As much as goes between a file and a stream before others get a turn."""


class Need(Enum):
    """What an operation waits for before it can go on. TURN: for nothing, but it has had its share."""

    READABLE = "bytes, or the end"
    WRITABLE = "room"
    TURN = "a turn for others"


Steps: TypeAlias = Generator[Need, None, T]
"""Moves what can be moved, yields what it needs, returns the result."""


class NoProgressError(Exception):
    """Thrown into a send by its face: `send_timeout` has passed since a byte went, or room was made."""


def as_bytes_view(data: Data, name: str = "") -> memoryview:
    """Its bytes in place; `name` is what the caller calls it.

    Raises:
        TypeError: it has no bytes, or they are not in one piece.
    """
    try:
        return memoryview(data).cast("B")
    except TypeError as error:
        found = type(data).__name__
        what = f"{name} is {found}, expected bytes" if name else f"expected bytes, found {found}"
        raise TypeError(f"{what} ({error})") from None


def must_be_positive(number: int, name: str) -> None:
    """Refuse 0 and less, and what is no number.

    Raises:
        TypeError, ValueError: naming it, and what was found.
    """
    _must_be_from(1, number, name)


def must_be_count(number: int, name: str) -> None:
    """The same, but 0 is one."""
    _must_be_from(0, number, name)


def _must_be_from(least: int, number: int, name: str) -> None:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"{name} is {type(number).__name__}, expected int")
    if number < least:
        raise ValueError(f"{name} is {number}, expected {least} or more")
