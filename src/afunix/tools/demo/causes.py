"""Which call caused which: what was written, queued in order until the call that reads it. Pure bookkeeping.

A queue stands for what the kernel holds for one reader: the numbers of the steps that sent, with their bytes. What
comes out of the kernel comes out of here in the same order, and tells which step an arrow starts at.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ...model.escaping import escape

_SHOWN_BYTES = 24
"""What is longer is told by its length: an arrow is short."""


@dataclass(slots=True)
class Sent:
    """What one step sent, as far as it was not read yet; `data` is None for the end of what is sent."""

    step: int
    data: bytes | None
    descriptors: int = 0

    @property
    def label(self) -> str:
        """What is written on the way to who reads it."""
        return "end of file" if self.data is None else label(self.data, self.descriptors)


class Inbox:
    """What is on its way to one socket; `keeps_records` for datagrams, of which one read takes one."""

    def __init__(self, *, keeps_records: bool = False) -> None:
        self._sent: deque[Sent] = deque()
        self._keeps_records = keeps_records

    def put(self, step: int, data: bytes, *, descriptors: int = 0) -> None:
        """`step` sent `data`."""
        self._sent.append(Sent(step, data, descriptors))

    def end(self, step: int) -> None:
        """`step` was the last: a shutdown or a close. Only the first says so."""
        if not any(sent.data is None for sent in self._sent):
            self._sent.append(Sent(step, None))

    def take(self, count: int) -> list[Sent]:
        """What a read of `count` bytes got, from which steps; of what it got in part only that part."""
        if self._keeps_records:
            return [self._sent.popleft()] if self._sent else []
        if count == 0:
            return [self._sent.popleft()] if self._sent and self._sent[0].data is None else []
        return self._take_bytes(count)

    def _take_bytes(self, count: int) -> list[Sent]:
        taken = []
        while count > 0 and self._sent:
            first = self._sent[0]
            if first.data is None:
                break
            part, rest = first.data[:count], first.data[count:]
            taken.append(Sent(first.step, part, first.descriptors))
            count -= len(part)
            first.data, first.descriptors = rest, 0  # descriptors come with the first byte
            if not rest:
                self._sent.popleft()
        return taken


def label(data: bytes, descriptors: int = 0) -> str:
    """What is written on the arrow: the bytes if they are few, else how many; and the descriptors beside them."""
    words = [f'"{_readable(data)}"' if len(data) <= _SHOWN_BYTES else f"{len(data):,} bytes"]
    if descriptors:
        words.append(f"{descriptors} descriptor" + ("" if descriptors == 1 else "s"))
    return " + ".join(words)


def _readable(data: bytes) -> str:
    return escape(data.replace(b"\\", b"\\\\").replace(b"\n", b"\\n"))
