"""Bytes as rows of sixteen: where they begin, their digits, and what of them can be read. Pure.

     > 00000000  48 54 54 50 2f 31 2e 31  20 32 30 30 20 4f 4b 0d  HTTP/1.1 200 OK.

Where there are many bytes no row is an object of its own (180 MB/s that way, and not 15). Whole blocks are made at once:
`bytes.hex` writes all the digits, `bytes.translate` all that can be read, and both are dealt out to the rows eight bytes
at a time, by slices of memoryviews that step from row to row. For that a row is 80 bytes, or 88 with a colour: multiples
of eight. The rows of 64 KiB are kept, because then the last four digits of where a row begins stay as they are.
"""

from __future__ import annotations

_PER_ROW = 16
_KEPT = 1 << 16
_BLOCK = 1 << 15
"""So much is made at once: what it takes on the way stays in the processor's cache, and below malloc's mmap threshold."""
_FEW = 4 * _PER_ROW
"""Less is made row by row: as fast, and without the block's memory."""

_READABLE = bytes(byte if 0x20 <= byte < 0x7F else 0x2E for byte in range(256))
_ROW = " %s %08x%s  %-48s  %s\n"


class Hexdump:
    """Renders bytes; keeps one block's rows (320 KiB) from the first time that they are needed."""

    def __init__(self, *, colour: bool = False) -> None:
        """With `colour`, a row begins in the one that `render` is given: the mark and where the row begins."""
        self._is_coloured = colour
        ink = 5 if colour else 0  # the length of `ESC [ 3 6 m`
        self._ink_at, self._mark_at, self._high_at = 2, ink + 1, ink + 3
        past = 8 if colour else 0  # and with it `ESC [ m`
        self._left_at, self._right_at, self._readable_at = past + 13, past + 38, past + 63
        self._length = past + 80
        self._rows: bytearray | None = None
        self._high = b"0000"

    def render(self, data: bytes, mark: str = ">", ink: str = "") -> bytes:
        """The rows of `data`, each with its newline; offsets count from its beginning.

        `mark` is one ASCII character in front of each row. `ink`, if rows are coloured, is an SGR parameter of two
        digits (`"36"`).
        """
        return b"".join(self.parts(data, mark, ink))

    def parts(self, data: bytes, mark: str = ">", ink: str = "") -> list[bytes | memoryview]:
        """The same to be joined by the caller, before the next call: the memory of what is kept is among them.

        One copy of what is five times as long as `data`, and not two, is more than it seems: malloc gives back to the
        kernel what is freed at the heap's end, and fetching it again costs as much as all the rest.
        """
        whole = len(data) // _PER_ROW * _PER_ROW if len(data) >= _FEW else 0
        parts: list[bytes | memoryview] = []
        for begin in range(0, whole, _KEPT):
            end = min(begin + _KEPT, whole)
            rows = self._kept_rows(data, begin, end, mark, ink)
            parts.append(rows if end == whole else bytes(rows))
        parts += [
            self._row(data[begin : begin + _PER_ROW], begin, mark, ink)
            for begin in range(whole, len(data), _PER_ROW)
        ]
        return parts

    def _kept_rows(self, data: bytes, begin: int, end: int, mark: str, ink: str) -> memoryview:
        rows = memoryview(self._blank_rows(begin))[: (end - begin) // _PER_ROW * self._length]
        width = _BLOCK // _PER_ROW * self._length
        for place, block in enumerate(range(begin, end, _BLOCK)):
            window = rows[place * width : (place + 1) * width]
            self._fill(window, data[block : min(block + _BLOCK, end)], mark, ink)
        return rows

    def _row(self, data: bytes, begin: int, mark: str, ink: str) -> bytes:
        digits = data.hex(" ")
        digits = f"{digits[:23]}  {digits[24:]}" if len(data) > 8 else digits
        readable = data.translate(_READABLE).decode("ascii")
        row = _ROW % (mark, begin & 0xFFFFFFFF, "\x1b[m" if self._is_coloured else "", digits, readable)
        return (f"\x1b[{ink}m{row}" if self._is_coloured else row).encode("ascii")

    def _fill(self, rows: memoryview, data: bytes, mark: str, ink: str) -> None:
        """All but where the rows begin. Eight bytes are `xx xx xx xx xx xx xx xx `: three times eight characters."""
        length = self._length
        count, last, step = len(data) // _PER_ROW, len(rows) - length, length // 8
        rows[self._mark_at :: length] = mark.encode("ascii") * count
        for place, digit in enumerate(ink.encode("ascii") if self._is_coloured else b"", self._ink_at):
            rows[place::length] = bytes((digit,)) * count
        digits = memoryview(data.hex(" ").encode("ascii") + b" ").cast("Q")
        readable = memoryview(data.translate(_READABLE)).cast("Q")
        left = rows[self._left_at : last + self._left_at + 24].cast("Q")
        right = rows[self._right_at : last + self._right_at + 24].cast("Q")
        ending = rows[self._readable_at : last + self._readable_at + 16].cast("Q")
        for word in range(3):
            left[word::step] = digits[word::6]
            right[word::step] = digits[word + 3 :: 6]
        for word in range(2):
            ending[word::step] = readable[word::2]

    def _blank_rows(self, begin: int) -> bytearray:
        """The rows of a block that begins there; all but where they begin is to be written over."""
        if self._rows is None:
            self._rows = bytearray(
                b"".join(self._row(bytes(_PER_ROW), place, ">", "36") for place in range(0, _KEPT, _PER_ROW))
            )
        high = b"%04x" % (begin >> 16 & 0xFFFF)
        if high != self._high:
            self._high = high
            for place, digit in enumerate(high, self._high_at):
                self._rows[place :: self._length] = bytes((digit,)) * (_KEPT // _PER_ROW)
        return self._rows
