"""`afunix tap --hex`: each event as a line, and under a message its bytes as a hexdump. Pure.

    [1]   0.000132  client → server  84 bytes at 1,024
     > 00000000  47 45 54 20 2f 5f 70 69  6e 67 20 48 54 54 50 2f  GET /_ping HTTP/

`at` is how much of the stream went that way before, from the second message on. The rows are `hexdump`'s.
"""

from __future__ import annotations

from ..model.tapped import Beginning, Over, Said, Side, TapEvent
from .hexdump import Hexdump
from .tap_lines import MARKS, TapLines, ink_of


class TapHex:
    """Renders events; remembers how much each side of an open connection has said."""

    def __init__(
        self,
        beginning: Beginning,
        *,
        max_bytes: int | None = None,
        colour: bool = False,
        width: int | None = None,
    ) -> None:
        """Of a message at most `max_bytes` are shown, none with 0. `width` folds the lines, never the rows of bytes."""
        self._has_positions = beginning.socket_type == "stream"
        self._max_bytes = max_bytes
        self._ink_of = ink_of if colour else lambda connection: ""
        self._lines = TapLines(colour=colour, width=width)
        self._hexdump = Hexdump(colour=colour)
        self._positions: dict[tuple[int, Side], int] = {}

    def render(self, event: TapEvent) -> bytes:
        """What `event` looks like, with its newline."""
        if type(event) is Said:
            return self._said(event)
        if type(event) is Over:
            for side in Side:
                self._positions.pop((event.connection, side), None)
        return self._lines.event(event)

    def _said(self, event: Said) -> bytes:
        data, limit = event.data, self._max_bytes
        omitted = 0 if limit is None else max(0, len(data) - limit)
        rows = self._hexdump.parts(
            data[:limit] if omitted else data, MARKS[event.side], self._ink_of(event.connection)
        )
        last = self._lines.omitted(event, omitted) if omitted and limit else b""
        return b"".join([self._lines.said(event, self._position(event)), *rows, last])

    def _position(self, event: Said) -> str:
        if not self._has_positions:
            return ""
        key = (event.connection, event.side)
        position = self._positions.get(key, 0)
        self._positions[key] = position + len(event.data)
        return f" at {position:,}" if position else ""
