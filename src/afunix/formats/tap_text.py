"""`afunix tap`: each event as a line, and under a message what it says, as text that does no harm. Pure.

    [1]   0.000132  client → server  44 bytes
     > GET /_ping HTTP/1.1^M
     > Host: docker^M
     > ^M

What a terminal would obey is shown instead, as `model.escaping` has it; newline and tab pass. Each message is read by
itself: a character that a stream was cut in is shown as its bytes. Bytes of which all are plain are found by
`bytes.translate` and pass as they are, and a character at a time is looked at only where something is no text: 200 MB/s and
more where `str.translate` would do 10.
"""

from __future__ import annotations

import re

from ..model.escaping import CONTROL_PICTURES
from ..model.tapped import Beginning, Said, TapEvent
from .columns import display_width
from .tap_lines import TapLines

_PLAIN = bytes([0x09, 0x0A, *range(0x20, 0x7F)])
_PICTURES = {code: shown for code, shown in CONTROL_PICTURES.items() if code not in (0x09, 0x0A)}
_ASCII_PICTURES = {code: shown.encode("ascii") for code, shown in _PICTURES.items() if code < 0x80}
_TABLE = {**{byte: chr(byte) for byte in _PLAIN}, **_PICTURES}
"""With what is plain in it, too: that a dict has no entry is an exception to `str.translate`, and takes as long as four."""
_HARMFUL = re.compile(f"[{''.join(map(chr, filter(lambda code: code >= 0x80, _PICTURES)))}]")
_FEW = 64
_CONTINUATION = b"   "
_TAB = 8
_LONGEST_CHARACTER = 4


class TapText:
    """Renders events; keeps nothing between them."""

    def __init__(
        self,
        beginning: Beginning,
        *,
        max_bytes: int | None = None,
        colour: bool = False,
        width: int | None = None,
    ) -> None:
        """Of a message at most `max_bytes` are shown, none with 0. `width` (cells of the terminal) folds what is longer."""
        self._max_bytes = max_bytes
        self._room = None if width is None else max(1, width - len(_CONTINUATION))
        self._lines = TapLines(colour=colour, width=width)

    def render(self, event: TapEvent) -> bytes:
        """What `event` looks like, with its newline."""
        line = self._lines.event(event)
        return line + self._body(event) if type(event) is Said and event.data else line

    def _body(self, event: Said) -> bytes:
        data = cut(event.data, self._max_bytes)
        mark = self._lines.mark(event)
        body = self._marked(show_text(data), mark) if data else b""
        omitted = len(event.data) - len(data)
        return body + self._lines.omitted(event, omitted) if omitted and self._max_bytes else body

    def _marked(self, text: bytes, mark: bytes) -> bytes:
        text = text.removesuffix(b"\n")
        if self._room is not None:
            text = b"\n".join(_fold(line, self._room) for line in text.split(b"\n"))
        return mark + text.replace(b"\n", b"\n" + mark).replace(b"\r", b"\n" + _CONTINUATION) + b"\n"


def cut(data: bytes, max_bytes: int | None) -> bytes:
    """The first `max_bytes` of it, None: all; less by what would be the beginning of a character."""
    if max_bytes is None or len(data) <= max_bytes:
        return data
    for end in range(max_bytes, max(-1, max_bytes - _LONGEST_CHARACTER), -1):
        if data[end] & 0xC0 != 0x80:  # here a character begins, or it is no UTF-8
            return data[:end]
    return data[:max_bytes]


def show_text(data: bytes) -> bytes:
    """`data` as a terminal may be shown it, in UTF-8; its newlines and tabs as they are."""
    special = data.translate(None, _PLAIN)
    if not special:
        return data
    if not special.isascii():
        text = data.decode("utf-8", "surrogateescape")
        if _HARMFUL.search(text):
            return text.translate(_TABLE).encode("utf-8")
    for control in {*special} if len(special) < _FEW else _ASCII_PICTURES:
        if control in _ASCII_PICTURES:
            data = data.replace(bytes((control,)), _ASCII_PICTURES[control])
    return data


def _fold(line: bytes, room: int) -> bytes:
    """A shown line with \\r, which it cannot have of its own, wherever it is to be continued on the next."""
    if len(line) <= room and b"\t" not in line:  # no character is wider than it has bytes
        return line
    text = line.decode("utf-8")
    if text.isascii() and "\t" not in text:
        return b"\r".join(line[begin : begin + room] for begin in range(0, len(line), room))
    pieces, begin, used = [], 0, 0
    for place, character in enumerate(text):
        cells = _TAB if character == "\t" else display_width(character)
        if used + cells > room and place > begin:
            pieces.append(text[begin:place])
            begin, used = place, 0
        used += cells
    return "\r".join([*pieces, text[begin:]]).encode("utf-8")
