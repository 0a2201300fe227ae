"""Many clients' streams to one output. The rules L1-L5 are `model.framing`'s; here their bytes are moved.

A client is read the moment it is accepted, then whenever `Readiness` says so. What leaves in one turn of the loop
goes out in one writev(2). Two ways lead there:

    copying     recv, the rules, writev: small messages, labels, terminals
    splicing    a large queue of whole lines goes from socket to output as pages. All but the last newline of the
                block: the client can change pages after sending them, so the newline that ends what we call whole
                lines is received and written from our own memory. The unfinished rest is received too: bytes left
                in the queue can keep a sendfile(2) client asleep for ever.

While the output takes nothing, nobody is read: the clients wait in write(2), and memory does not grow. A block
that was begun is finished before anybody else writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from ..kernel.channel import Channel
from ..kernel.output import Output
from ..model.framing import Line, PieceEnd, Seam
from ..streams.readiness import Readiness
from .outflow import FLUSH_BYTES, Outflow

READ_BYTES = 64 << 10
"""One recv: hundreds of small messages; a full one suggests that splicing pays."""

BULK_BYTES = 256 << 10
"""One recv of a client whose queue is long but cannot be spliced."""

SPLICE_MIN_BYTES = 24 << 10
"""Below this the six calls of a block cost more than the copy they save (measured)."""

SMALL_BYTES = 4 << 10
"""A queue that is shorter is that of a client who sends little at a time: no use asking for its length again."""

BULK_ROUNDS = 8
"""Blocks that one client may move in its turn: while we handle one, a fast sender has queued the next."""

PEEK_TAILS = (4 << 10, 64 << 10)
"""How much of the end of a queue is looked at for its last newline: first a little, then once more."""


class Client(Line):
    """One connection's place in the collector. `state` is its framing's, `was_told` that of whoever reports long lines."""

    __slots__ = ("channel", "is_bulk", "state", "touched", "was_told")

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self.channel = channel
        self.is_bulk = False
        self.state: object = None
        self.touched = 0.0
        self.was_told = False


class Framing(Protocol):
    """How clients' bytes become output; what leaves is handed to the collector's `put` or `put_raw`."""

    can_splice: bool
    keeps_lines: bool

    def begin(self, client: Client) -> None:
        """A client was admitted."""

    def feed(self, client: Client, data: bytes) -> None:
        """Bytes arrived."""

    def finish(self, client: Client, end: PieceEnd) -> None:
        """No more will; what is held leaves (L5)."""

    def release(self, client: Client) -> bytes:
        """What is held, for a block that goes out right behind it."""


class Collector:
    """Owns the channels it is given until they are closed. `framing` must be set before the first.

    `on_finished(channel, end)` is told of every channel that is about to be closed, `on_failure(error)` of an
    output that broke. With a `clock`, `Client.touched` is the time of its last bytes.
    """

    framing: Framing

    def __init__(
        self,
        output: Output,
        loop: asyncio.AbstractEventLoop,
        *,
        on_finished: Callable[[Channel, PieceEnd], None],
        on_failure: Callable[[OSError], None],
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.clients: dict[int, Client] = {}
        self.on_progress: Callable[[], None] = lambda: None
        """Called when a stalled output has taken everything that was waiting for it."""
        self._output = output
        self._on_finished = on_finished
        self._clock = clock
        self._readiness: Readiness[Client] = Readiness(loop, self._on_ready, self._on_turn)
        self.outflow = Outflow(
            output, loop, on_stall=self._readiness.pause, on_flow=self._on_flow, on_failure=on_failure
        )
        self._seam = Seam()
        self._block: tuple[Client, int, int] | None = None
        self._to_drop: list[tuple[Client, PieceEnd]] = []

    # Clients

    def on_channel(self, channel: Channel) -> None:
        """Take a connection and read at once what is there: a short one is over before anybody waited for it."""
        client = Client(channel)
        self.framing.begin(client)
        if self._clock is not None:
            client.touched = self._clock()
        outflow = self.outflow
        if not outflow.is_blocked and self._receive(client, READ_BYTES):
            self._receive(client, READ_BYTES)  # most likely the end of file, or nothing yet
        if channel.fd >= 0:
            self.clients[channel.fd] = client
            self._readiness.add(channel.fd, client)
        if outflow.queued and not outflow.is_scheduled:
            outflow.flush_soon()

    def _on_ready(self, client: Client, events: int) -> None:
        if client.is_bulk:
            self._receive_blocks(client)
        else:
            self._receive(client, READ_BYTES)
        if self.outflow.queued > FLUSH_BYTES:
            self.outflow.flush()

    def _on_turn(self) -> None:
        if self.outflow.queued:
            self.outflow.flush()

    def _receive(self, client: Client, max_bytes: int) -> bool:
        """One recv by copying; True if there may be more at once."""
        try:
            data = client.channel.try_receive(max_bytes)
        except ConnectionResetError:
            self._finish(client, PieceEnd.RESET)
            return False
        if not data:
            if data is not None:
                self._finish(client, PieceEnd.EOF)
            return False
        if self._clock is not None:
            client.touched = self._clock()
        if len(data) == READ_BYTES:
            client.is_bulk = self.framing.can_splice and self._output.can_splice
        self.framing.feed(client, data)
        return True

    def _finish(self, client: Client, end: PieceEnd) -> None:
        channel = client.channel
        self.framing.finish(client, end)
        if self.clients.pop(channel.fd, None) is not None:
            self._readiness.remove(channel.fd)
        self._on_finished(channel, end)
        channel.close()

    def drop(self, client: Client, end: PieceEnd) -> None:
        """End a client's stream from our side (an idle timeout); what is held leaves, but not inside of a block."""
        if self._block is not None:
            self._to_drop.append((client, end))
            return
        self._finish(client, end)
        self.outflow.flush_soon()

    # Splicing

    def _receive_blocks(self, client: Client) -> None:
        """Blocks while there are any; a queue that is (still) too short for one is received if it is the first."""
        for turn in range(BULK_ROUNDS):
            queued = client.channel.queued()
            if queued < SPLICE_MIN_BYTES or not self._output.can_splice:
                if not turn:
                    client.is_bulk = queued > SMALL_BYTES
                    self._receive(client, READ_BYTES)
                return
            if not self._receive_block(client, queued):
                return

    def _receive_block(self, client: Client, queued: int) -> bool:
        """One block, or one recv if there is no block; True if a whole block has gone out."""
        splice_bytes, rest_bytes = self._cut(client, queued)
        if splice_bytes < SPLICE_MIN_BYTES:
            self._receive(client, BULK_BYTES)
            return False
        if self._clock is not None:
            client.touched = self._clock()
        outflow, seam = self.outflow, self._seam
        if self.framing.keeps_lines:
            if seam.unfinished_by is not None and seam.needs_newline(client):
                outflow.queue(b"\n")
            if client.held is not None:
                outflow.queue(self.framing.release(client))
            seam.unfinished_by = client
        self._block = (client, splice_bytes, rest_bytes)
        return self._advance_block()

    def _cut(self, client: Client, queued: int) -> tuple[int, int]:
        """How many bytes may be spliced, and how many after them must be received; (0, 0): copy this time."""
        if not self.framing.keeps_lines:
            return queued, 0
        if client.is_open:
            return self._cut_open(client, queued)
        for tail_bytes in PEEK_TAILS:
            offset = queued - tail_bytes if queued > tail_bytes else 0
            tail = client.channel.try_peek(queued - offset, offset)  # no more: the queue may have grown
            if not tail:
                break
            newline = tail.rfind(b"\n")
            if newline >= 0:
                return offset + newline, queued - offset - newline
        return 0, 0

    def _cut_open(self, client: Client, queued: int) -> tuple[int, int]:
        """An open line passes as it comes, through its next newline: all of the queue is looked at for one.

        Should the client change those pages meanwhile, only its own line suffers.
        """
        data = client.channel.try_peek(min(queued, BULK_BYTES)) or b""
        newline = data.rfind(b"\n")
        return (len(data), 0) if newline < 0 else (newline, len(data) - newline)

    def _advance_block(self) -> bool:
        """Splice what is left of the block; then receive its newline and what follows it. True when all is done."""
        if self._block is None or not self.outflow.flush():
            return False
        client, left, rest_bytes = self._block
        while left and self._output.can_splice:
            try:
                moved = self._output.try_splice(client.channel.fd, left)
            except OSError as error:
                self.outflow.fail(error)
                return False
            if moved is None and self.outflow.is_full():
                self._block = (client, left, rest_bytes)
                self.outflow.stall()
                return False
            if not moved:
                break
            left -= moved
            self.outflow.written += moved
            client.channel.note_received(moved)
        self._block = None
        if rest_bytes and not left:
            return self._receive_tail(client, rest_bytes)
        client.is_open = self.framing.keeps_lines
        self._receive_rest(client, left, rest_bytes)
        return client.is_bulk and client.channel.fd >= 0

    def _receive_tail(self, client: Client, rest_bytes: int) -> bool:
        """The newline that ends the block, and the unfinished line after it. They are queued, so they are there."""
        rest = client.channel.try_receive(rest_bytes) or b""
        if rest[:1] == b"\n":
            self.outflow.queue(b"\n")
            self._seam.unfinished_by = None
            client.is_open = False
            rest = rest[1:]
        else:
            # The client has changed its pages: its line goes on, and is nobody else's harm.
            client.is_open = True
        if rest:
            self.framing.feed(client, rest)
        return True

    def _receive_rest(self, client: Client, left: int, rest_bytes: int) -> None:
        """By copying: what could not be spliced after all (a special file, an out-of-band byte), then the rest."""
        client.is_bulk = not left
        while left and client.channel.fd >= 0:
            before = client.channel.bytes_received
            if not self._receive(client, min(left, BULK_BYTES)):
                return
            left -= client.channel.bytes_received - before
        if rest_bytes and client.channel.fd >= 0:
            self._receive(client, rest_bytes)

    # Output

    def put(self, client: Client, data: bytes) -> None:
        """Queue what leaves, after a newline if L4 wants one."""
        if data:
            seam = self._seam
            if seam.unfinished_by is not None and seam.needs_newline(client):
                self.outflow.queue(b"\n")
            self.outflow.queue(data)
            seam.unfinished_by = None if data[-1] == 0x0A else client

    def put_raw(self, client: Client, data: bytes) -> None:
        """Queue `data` and nothing else."""
        if data:
            self.outflow.queue(data)

    def _on_flow(self) -> None:
        self._advance_block()
        if self._block is None:
            self._drop_late()
        if self._block is None and self.outflow.flush():
            self._readiness.resume()
            self.on_progress()

    def _drop_late(self) -> None:
        """Whom `drop` left alone until the block was over; it may have ended by itself meanwhile."""
        to_drop, self._to_drop = self._to_drop, []
        for client, end in to_drop:
            if client.channel.fd in self.clients:
                self._finish(client, end)

    def connected(self) -> Iterable[Client]:
        return self.clients.values()

    def end_conversations(self) -> None:
        """What was sent is still received; what clients send from now on fails with EPIPE, so nothing is lost."""
        for client in tuple(self.clients.values()):
            client.channel.end_receiving()

    def drain(self) -> bool:
        """Write what can be written now; True if no client is left and nothing is on its way to the output."""
        return self._block is None and self.outflow.drain() and not self.clients

    def bytes_written(self) -> int:
        return self.outflow.written

    def stalled_s(self) -> float:
        return self.outflow.stalled_s()

    def bytes_unwritten(self) -> int:
        """What would be lost if the process ended now: held, on the way, and sent by clients but unread."""
        waiting = sum(len(client.held or b"") + client.channel.queued() for client in self.clients.values())
        return waiting + self.outflow.bytes_unwritten()

    def close(self) -> None:
        """Close every channel and watch nothing any more."""
        self.outflow.close()
        self._readiness.close()
        for client in self.clients.values():
            client.channel.close()
        self.clients.clear()
