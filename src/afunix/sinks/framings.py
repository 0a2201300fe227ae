"""How clients' bytes become output: plain lines, raw bytes, pieces with a label or as JSON, text for a terminal.

Each is a `collector.Framing`: it applies the rules of `model.framing` and hands what leaves to `put`. None of them
writes, and none knows what the output is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ..formats.label import Sender
from ..formats.text import TerminalText
from ..kernel.channel import Channel
from ..kernel.names import comm_of, user_name
from ..model.framing import LineRules, Piece, PieceEnd, PieceRules
from .collector import Client

Put = Callable[[Client, bytes], None]
Render = Callable[[Sender, bytes, PieceEnd, float], bytes]


class Lines:
    """Plain output by L1-L5."""

    can_splice = True
    keeps_lines = True

    def __init__(self, rules: LineRules, put: Put) -> None:
        self._rules = rules
        self._put = put
        self.release = rules.release

    def begin(self, client: Client) -> None:
        pass

    def feed(self, client: Client, data: bytes) -> None:
        rules = self._rules
        leaves = rules.feed(client, data)
        if leaves:
            self._put(client, leaves)
        if rules.held_total > rules.max_held:
            for other, held in rules.overflow():
                assert isinstance(other, Client)
                self._put(other, held)

    def finish(self, client: Client, end: PieceEnd) -> None:
        if client.held is not None:
            self._put(client, self._rules.release(client))


class Raw:
    """`--raw`: bytes as they are received, nothing held or added."""

    can_splice = True
    keeps_lines = False

    def __init__(self, put: Put) -> None:
        self.feed = put

    def begin(self, client: Client) -> None:
        pass

    def finish(self, client: Client, end: PieceEnd) -> None:
        pass

    def release(self, client: Client) -> bytes:
        return b""


class Terminal:
    """Another framing whose bytes a terminal is going to show: escaped after framing, a decoder per client.

    It stands between that framing and the collector: `put` is what the inner framing is given to put into.
    """

    can_splice = False

    def __init__(self, put: Put) -> None:
        self._put = put
        self._texts: dict[Client, TerminalText] = {}

    def put(self, client: Client, data: bytes) -> None:
        text = self._texts.get(client)
        if text is None:
            text = self._texts[client] = TerminalText()
        self._put(client, text.show(data))

    def wrap(self, inner: Lines | Raw | Pieces) -> Escaped:
        return Escaped(inner, self)

    def end(self, client: Client) -> None:
        """A character that was begun and never finished is shown as its bytes."""
        text = self._texts.pop(client, None)
        if text is not None:
            self._put(client, text.show(b"", final=True))


class Escaped:
    """The framing that a collector is given when its output is a terminal."""

    can_splice = False
    keeps_lines = True

    def __init__(self, inner: Lines | Raw | Pieces, terminal: Terminal) -> None:
        self._inner = inner
        self._terminal = terminal
        self.begin = inner.begin
        self.feed = inner.feed
        self.release = inner.release

    def finish(self, client: Client, end: PieceEnd) -> None:
        self._inner.finish(client, end)
        self._terminal.end(client)


class Pieces:
    """`--label` and `--json`: every piece is rendered by itself, with what is known of its sender."""

    can_splice = False
    keeps_lines = True

    def __init__(
        self,
        rules: PieceRules,
        render: Render,
        put: Put,
        *,
        on_open: Callable[[Client, int], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._render = render
        self._put = put
        self._on_open = on_open
        self._now = now
        self.release = rules.release

    def begin(self, client: Client) -> None:
        """The command's name is read now: a short-lived client is gone when its bytes are looked at."""
        client.state = sender_of(client.channel)

    def feed(self, client: Client, data: bytes) -> None:
        now = self._now()
        for piece in self._rules.cut(client, data):
            self._emit(client, piece, now)
        for other, piece in self._rules.overflow():
            assert isinstance(other, Client)
            self._emit(other, piece, now)

    def finish(self, client: Client, end: PieceEnd) -> None:
        for piece in self._rules.finish(client, end):
            self._emit(client, piece, self._now())

    def _emit(self, client: Client, piece: Piece, now: float) -> None:
        data, end = piece
        if end is PieceEnd.MAX_LINE:
            self._on_open(client, len(data))
        sender = client.state
        assert isinstance(sender, Sender)
        self._put(client, self._render(sender, data, end, now))


def sender_of(channel: Channel) -> Sender:
    """What is known of who is at the other end of `channel`; the user's name comes from a cache."""
    peer = channel.peer
    return Sender(
        connection=channel.connection,
        pid=peer.pid,
        uid=peer.uid,
        gid=peer.gid,
        user=user_name(peer.uid),
        comm=comm_of(peer.pid) if peer.pid else None,
    )
