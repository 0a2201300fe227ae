"""Records of seqpacket connections to the output, each whole.

A record is never held: it is complete when it comes. What stands between two of them (a newline, a NUL, nothing),
or what it is wrapped in (a label, JSON), is a `Frame`. Everything else, the way out and the waiting included, is
the collector's. Datagrams, which come without connections, are `datagrams`'.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ..formats.label import Sender
from ..formats.text import TerminalText
from ..model.framing import PieceEnd
from .collector import Client, Collector
from .framings import sender_of

Frame = Callable[[Sender | None, bytes, float], bytes]
"""A record as it is written; the sender is None where nobody asked for it."""

BATCH = 64
"""Records received from one client, or of one datagram socket, before others get their turn."""


class RecordCollector(Collector):
    """A Collector whose channels are seqpacket connections: one `feed` a record, b"" included."""

    def _receive(self, client: Client, max_bytes: int) -> bool:
        for _ in range(BATCH):
            try:
                record = client.channel.try_receive_record()
            except ConnectionResetError:
                self._finish(client, PieceEnd.RESET)
                return False
            if client.channel.receive_ended:
                self._finish(client, PieceEnd.EOF)
                return False
            if record is None:
                return False
            if self._clock is not None:
                client.touched = self._clock()
            self.framing.feed(client, record)
        return True


class Records:
    """The framing of a RecordCollector. Nothing is held, and nothing is added but what `frame` adds."""

    can_splice = False
    keeps_lines = False

    def __init__(
        self,
        frame: Frame,
        put_raw: Callable[[Client, bytes], None],
        *,
        needs_sender: bool,
        escapes: bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._frame = frame
        self._put = put_raw
        self._needs_sender = needs_sender
        self._escapes = escapes
        self._now = now

    def begin(self, client: Client) -> None:
        if self._needs_sender:
            client.state = sender_of(client.channel)

    def feed(self, client: Client, data: bytes) -> None:
        sender = client.state if isinstance(client.state, Sender) else None
        framed = self._frame(sender, data, self._now())
        self._put(client, TerminalText().show(framed, final=True) if self._escapes else framed)

    def finish(self, client: Client, end: PieceEnd) -> None:
        pass

    def release(self, client: Client) -> bytes:
        return b""
