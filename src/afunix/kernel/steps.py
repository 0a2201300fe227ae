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
    """Thrown into a send by its face: `send_timeout` has passed since the last byte went."""


def as_bytes_view(data: Data) -> memoryview:
    """Its bytes in place.

    Raises:
        TypeError: it has no bytes, or they are not in one piece.
    """
    try:
        return memoryview(data).cast("B")
    except TypeError as error:
        raise TypeError(f"expected bytes, found {type(data).__name__} ({error})") from None


def must_be_positive(number: int, name: str) -> None:
    """Refuse 0 and less, and what is no number.

    Raises:
        TypeError, ValueError: naming it, and what was found.
    """
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"{name} is {type(number).__name__}, expected int")
    if number < 1:
        raise ValueError(f"{name} is {number}, expected 1 or more")
