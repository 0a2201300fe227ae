"""What text and hex views of a tap have in common: the line that says who did what and when. Pure.

    [1]   0.000000  opened by pid 4121 (docker) uid 1000 (ana)
    [1]   0.000132  client → server  84 bytes
    [1]   0.003120  client ← server  1 byte, 2 descriptors: socket, /var/log/x
    [1]   0.004100  client → server  half-closed
    [1]   0.005200  closed: reset by the server

Such a line begins with `[`, and what was said never does: it stands behind a mark, ` > ` for the client's words and
` < ` for the server's, so that nobody's bytes can look like an event. That holds on a terminal too: what is longer than
its width is continued behind spaces.
"""

from __future__ import annotations

from ..model.counting import counted
from ..model.escaping import escape
from ..model.refusal import describe_user
from ..model.tapped import Opened, Over, Said, SaidAll, Side, TapEvent
from .columns import display_width
from .wrapping import wrap

MARKS = {Side.CLIENT: ">", Side.SERVER: "<"}
_DIRECTIONS = {Side.CLIENT: "client → server", Side.SERVER: "client ← server"}
_INDENT = 5
_LEAST_WIDTH = 20
"""Of a terminal that is narrower nobody can read lines, but what is continued must stay behind its spaces."""
_MOST_DESCRIPTORS = 8
"""So many are named in a line; a message has 253 at most (SCM_MAX_FD)."""

_INKS = ("36", "33", "32", "35", "94", "96", "93", "92", "95")
"""SGR parameters by connection. No red, which is for trouble; two digits each, as `hexdump` wants them."""
_TROUBLE = "31"
_FAINT = "2"


def ink_of(connection: int) -> str:
    """A connection's colour; after the last they begin again."""
    return _INKS[(connection - 1) % len(_INKS)]


def show_count(count: int) -> str:
    """`1 byte`, `1,234 bytes`."""
    return "1 byte" if count == 1 else f"{count:,} bytes"


class TapLines:
    """Renders the lines; with `colour` in their connection's, with `width` (cells of the terminal) folded to it."""

    def __init__(self, *, colour: bool = False, width: int | None = None) -> None:
        self._is_coloured = colour
        self._width = None if width is None else max(width, _LEAST_WIDTH)

    def event(self, event: TapEvent) -> bytes:
        """The line of `event`, with its newline; of a Said without its bytes."""
        if type(event) is Said:
            return self.said(event)
        if type(event) is Opened:
            return self._line(event, f"opened by {_describe(event)}")
        if type(event) is SaidAll:
            return self._line(event, f"{_DIRECTIONS[event.side]}  half-closed")
        assert type(event) is Over
        reason = f": {escape(event.reason)}" if event.reason else ""
        return self._line(event, "closed" + reason, _TROUBLE if reason else "")

    def said(self, event: Said, more: str = "") -> bytes:
        """The line of a message: how long it is, `more`, and the descriptors that came with it."""
        text = f"{_DIRECTIONS[event.side]}  {show_count(len(event.data))}{more}"
        if event.descriptors:
            text += f", {_show_descriptors(event.descriptors)}"
        return self._line(event, text)

    def omitted(self, event: Said, count: int) -> bytes:
        """The line in place of the last `count` bytes of a message."""
        text = f"… {count:,} more bytes" if count != 1 else "… 1 more byte"
        return self.mark(event) + _painted(text, _FAINT if self._is_coloured else "") + b"\n"

    def mark(self, event: Said) -> bytes:
        """What each line of the message begins with."""
        text = f" {MARKS[event.side]} "
        return _painted(text, ink_of(event.connection) if self._is_coloured else "")

    def _line(self, event: TapEvent, text: str, ink: str = "") -> bytes:
        line = f"{f'[{event.connection}]':3}{event.at_s:11.6f}  {text}"
        fits = self._width is None or display_width(line) <= self._width
        lines = [line] if fits else wrap(line, self._width or 1, _INDENT)
        ink = (ink or ink_of(event.connection)) if self._is_coloured else ""
        return b"".join(_painted(line, ink) + b"\n" for line in lines)


def _painted(text: str, ink: str) -> bytes:
    return (f"\x1b[{ink}m{text}\x1b[m" if ink else text).encode("utf-8", "backslashreplace")


def _describe(event: Opened) -> str:
    peer = event.peer
    if not peer.is_known:
        return "somebody unknown"
    pid = "?" if peer.pid is None else str(peer.pid)
    command = f" ({escape(event.command)})" if event.command else ""
    return f"pid {pid}{command} {describe_user(peer.uid, event.user)}"


def _show_descriptors(descriptors: tuple[str, ...]) -> str:
    named = ", ".join(map(escape, descriptors[:_MOST_DESCRIPTORS]))
    more = len(descriptors) - _MOST_DESCRIPTORS
    return f"{counted(len(descriptors), 'descriptor')}: {named}" + (f", … {more} more" if more > 0 else "")
