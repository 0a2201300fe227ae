"""Bytes that were received and put back: they come before everything that the kernel still holds.

Taking from the front moves an offset, and putting back what was just taken moves it back; nothing is copied twice,
however many lines a chunk holds. A long line that comes in many pieces grows in place: otherwise each piece would cost
as much as all before it.
"""

from __future__ import annotations

_GROWS_IN_PLACE_FROM = 64 * 1024


class PutBack:
    """Bytes to be received again; `len()` of them are left."""

    __slots__ = ("_at", "_bytes")

    def __init__(self, data: bytes) -> None:
        self._bytes: bytes | bytearray = data  # a bytearray only while it grows
        self._at = 0

    def __len__(self) -> int:
        return len(self._bytes) - self._at

    def put(self, data: bytes) -> None:
        """Before those that are there."""
        start = self._at - len(data)
        if start >= 0 and self._bytes[start : self._at] == data:
            self._at = start
            return
        self._bytes = data + bytes(self._bytes[self._at :])
        self._at = 0

    def append(self, data: bytes) -> None:
        """Behind those that are there."""
        if isinstance(self._bytes, bytearray):
            self._bytes += data
            return
        left = self._bytes[self._at :]
        self._bytes = left + data if len(left) < _GROWS_IN_PLACE_FROM else bytearray(left) + data
        self._at = 0

    def take(self, max_bytes: int) -> bytes:
        """The first `max_bytes`, or what there is."""
        if isinstance(self._bytes, bytearray):
            self._bytes = bytes(self._bytes)
        start, self._at = self._at, min(self._at + max_bytes, len(self._bytes))
        return self._bytes[start : self._at]

    def end(self, max_bytes: int) -> bytes:
        """The last `max_bytes`, or what there is; they stay."""
        return bytes(self._bytes[max(self._at, len(self._bytes) - max_bytes) :])

    def find(self, separator: bytes, start: int = 0) -> int:
        """How many bytes come before `separator`, looked for from the `start`-th on; -1 if it is not there."""
        found = self._bytes.find(separator, self._at + start)
        return -1 if found < 0 else found - self._at
