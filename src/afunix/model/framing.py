r"""From many clients to one output: the rules L1-L5, pure. `sinks.collector` moves the bytes; here is when they leave.

    L1  A line ends with \n only. It leaves whole once it is complete; until then it is held, at most `max_line`
        bytes with the newline. What leaves does not depend on how many others are connected.
    L2  All clients together hold at most `max_held` bytes; beyond that the longest line is let out as in L3.
    L3  At `max_line` the held bytes leave as they are and the client is *open*: its bytes pass as they come,
        through its next newline. Nothing is dropped.
    L4  Before another client's bytes comes a newline, if the last byte written was none. Never at the end: one
        client alone comes out byte for byte.
    L5  At end of file, reset or our stop the held bytes leave as they are.

`LineRules` is L1, L2, L3 and L5; `Seam` is L4. `PieceRules` is the same for outputs that wrap each piece (a label,
JSON): there a line that is too long becomes pieces of exactly `max_line` bytes, however it arrived.
`merge` puts them together for tests and for reading.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from enum import Enum

MAX_LINE_BYTES = 1 << 20
"""Default of `--max-line`."""

MAX_HELD_BYTES = 64 << 20
"""L2: what all clients together may keep in our memory."""


class PieceEnd(Enum):
    """Why a piece ends where it ends; the words of `--json`."""

    NEWLINE = "newline"
    EOF = "eof"
    RESET = "reset"
    MAX_LINE = "max-line"
    RECORD = "record"


Piece = tuple[bytes, PieceEnd]
"""Bytes without their newline, and how they ended."""


class Line:
    """What one client has sent of a line that is not complete yet. Base of the sinks' own client records.

    `is_open` is for `LineRules` alone: pieces know no open line.
    """

    __slots__ = ("held", "is_open")

    def __init__(self) -> None:
        self.held: bytearray | None = None
        self.is_open = False


class _Holding:
    """The bytes that are held for all clients, and the limits on them."""

    def __init__(self, max_line: int = MAX_LINE_BYTES, max_held: int = MAX_HELD_BYTES) -> None:
        self.max_line = max_line
        self.max_held = max_held
        self.held_total = 0
        self._holders: dict[Line, None] = {}  # in the order in which they began to hold

    def _hold(self, line: Line, data: bytes) -> int:
        """Keep `data` after what is held; the length of both."""
        if line.held is None:
            line.held = bytearray(data)
            self._holders[line] = None
        else:
            line.held += data
        self.held_total += len(data)
        return len(line.held)

    def release(self, line: Line) -> bytes:
        """What is held for `line`, which holds nothing afterwards."""
        if line.held is None:
            return b""
        held, line.held = bytes(line.held), None
        self.held_total -= len(held)
        del self._holders[line]
        return held

    def longest(self) -> Line:
        """Whose line is let out when all together hold too much (L2); of equals the one that waits longest."""
        return max(self._holders, key=lambda line: len(line.held or b""))


class LineRules(_Holding):
    """L1, L2, L3 and L5 for plain output. `on_open(line, size)` is told when a line leaves unfinished (L2, L3)."""

    def __init__(
        self,
        max_line: int = MAX_LINE_BYTES,
        max_held: int = MAX_HELD_BYTES,
        on_open: Callable[[Line, int], None] = lambda line, size: None,
    ) -> None:
        super().__init__(max_line, max_held)
        self._on_open = on_open

    def feed(self, line: Line, data: bytes) -> bytes:
        """The bytes that leave now that `data` (never empty) has arrived from this client; b"" if all of it is held."""
        if line.is_open:
            return self._pass(line, data)
        end = data.rfind(b"\n") + 1
        if end == len(data):
            return data if line.held is None else self.release(line) + data
        whole = b""
        if end:
            whole = data[:end] if line.held is None else self.release(line) + data[:end]
            data = data[end:]
        if self._hold(line, data) >= self.max_line:
            whole += self.let_out(line)
        return whole

    def _pass(self, line: Line, data: bytes) -> bytes:
        end = data.find(b"\n") + 1
        if not end:
            return data
        line.is_open = False
        return data[:end] + self.feed(line, data[end:]) if end < len(data) else data

    def let_out(self, line: Line) -> bytes:
        """L3: what is held leaves unfinished, and the client is open through its next newline."""
        held = self.release(line)
        line.is_open = True
        self._on_open(line, len(held))
        return held

    def overflow(self) -> Iterator[tuple[Line, bytes]]:
        """L2: whose bytes have to leave so that all together hold no more than `max_held`."""
        while self.held_total > self.max_held:
            line = self.longest()
            yield line, self.let_out(line)


class PieceRules(_Holding):
    """The same rules for output that wraps each piece. A piece never depends on how its bytes arrived."""

    def cut(self, line: Line, data: bytes) -> Iterator[Piece]:
        """The pieces that are complete now that `data` has arrived."""
        *whole, rest = data.split(b"\n")
        for text in whole:
            if line.held is not None or len(text) >= self.max_line:
                self._hold(line, text)
                yield from self._cut_long(line)
                text = self.release(line)
            yield text, PieceEnd.NEWLINE
        if rest:
            self._hold(line, rest)
            yield from self._cut_long(line)

    def _cut_long(self, line: Line) -> Iterator[Piece]:
        """Pieces of `max_line` bytes while that many are held: with its newline such a line would be longer."""
        if line.held is None or len(line.held) < self.max_line:
            return
        held = self.release(line)
        end = len(held) - len(held) % self.max_line
        if end < len(held):
            self._hold(line, held[end:])
        for start in range(0, end, self.max_line):
            yield held[start : start + self.max_line], PieceEnd.MAX_LINE

    def finish(self, line: Line, end: PieceEnd) -> Iterator[Piece]:
        """L5: what is held when the client's bytes end."""
        held = self.release(line)
        if held:
            yield held, end

    def overflow(self) -> Iterator[tuple[Line, Piece]]:
        """L2, as in `LineRules`."""
        while self.held_total > self.max_held:
            line = self.longest()
            yield line, (self.release(line), PieceEnd.MAX_LINE)


class Seam:
    """L4: whose unfinished line, if any, is the last thing that was written."""

    __slots__ = ("unfinished_by",)

    def __init__(self) -> None:
        self.unfinished_by: Hashable = None

    def needs_newline(self, owner: Hashable) -> bool:
        """Whether a newline has to be written before `owner`'s bytes."""
        return self.unfinished_by is not None and self.unfinished_by is not owner

    def wrote(self, owner: Hashable, ends_line: bool) -> None:
        """`owner`'s bytes went out; the last of them was a newline, or not."""
        self.unfinished_by = None if ends_line else owner


def merge(
    arrivals: Iterable[tuple[Hashable, bytes | None]],
    max_line: int = MAX_LINE_BYTES,
    max_held: int = MAX_HELD_BYTES,
) -> bytes:
    """What the output holds after these arrivals, in this order; None is a client's end. The oracle of the tests."""
    rules, seam, out = LineRules(max_line, max_held), Seam(), bytearray()
    lines: dict[Hashable, Line] = {}

    def put(line: Line, data: bytes) -> None:
        if data:
            out.extend(b"\n" if seam.needs_newline(line) else b"")
            out.extend(data)
            seam.wrote(line, data.endswith(b"\n"))

    for client, data in arrivals:
        line = lines.setdefault(client, Line())
        if data is None:
            put(line, rules.release(lines.pop(client)))
        else:
            put(line, rules.feed(line, data))
        for other, held in rules.overflow():
            put(other, held)
    return bytes(out)
