"""`--echo`: every client's bytes, or records, go back to it. STDOUT is not touched.

A client that does not read what comes back is not read either, until it does: it waits in its own write(2), and
nobody else notices. After its end of file it still gets the rest of its echo.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable

from ..kernel.channel import Channel
from ..kernel.record_channel import make_room_for
from ..model.framing import PieceEnd
from ..streams.readiness import HUNG_UP, READABLE, WRITABLE, Readiness

READ_BYTES = 64 << 10


class EchoClient:
    """One connection: `pending` is what the client has to take before it is read again."""

    __slots__ = ("channel", "pending", "touched")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.pending: bytes | None = None
        self.touched = 0.0


class Echo:
    """Owns the channels it is given until they are closed; `on_finished(channel, end)` is told of each before that.

    With `records`, what comes back is one record for each that came, empty ones included.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        on_finished: Callable[[Channel, PieceEnd], None],
        records: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.clients: dict[int, EchoClient] = {}
        self.on_progress: Callable[[], None] = lambda: None
        self.bytes_lost = 0
        """What came, and could not go back to a client that was still there."""
        self._sent = 0
        self._on_finished = on_finished
        self._clock = clock
        self._exchange = self._exchange_record if records else self._exchange_bytes
        self._readiness: Readiness[EchoClient] = Readiness(loop, self._on_ready)

    def on_channel(self, channel: Channel) -> None:
        client = EchoClient(channel)
        self.clients[channel.fd] = client
        self._readiness.add(channel.fd, client)
        if self._clock is not None:
            client.touched = self._clock()
        self._step(client)

    def _on_ready(self, client: EchoClient, events: int) -> None:
        if client.pending is not None and events & (WRITABLE | HUNG_UP):
            self._push(client)
        elif client.pending is None:
            self._step(client)

    def _step(self, client: EchoClient) -> None:
        """Receive once and send back what came."""
        try:
            received = self._exchange(client)
        except OSError as error:
            self._failed(client, error)
            return
        if received and self._clock is not None:
            client.touched = self._clock()

    def _exchange_bytes(self, client: EchoClient) -> bool:
        channel = client.channel
        data = channel.try_receive(READ_BYTES)
        if not data:
            if data is not None:
                self._finish(client, PieceEnd.EOF)
            return False
        sent = channel.try_send(data)
        if sent < len(data):
            self._wait_for_room(client, data[sent:])
        return True

    def _exchange_record(self, client: EchoClient) -> bool:
        channel = client.channel
        record = channel.try_receive_record()
        if channel.receive_ended:
            self._finish(client, PieceEnd.EOF)
            return False
        if record is None:
            return False
        if not self._send_record(client, record):
            self._wait_for_room(client, record)
        return True

    def _send_record(self, client: EchoClient, record: bytes) -> bool:
        """As `Channel.try_send_record`, with a larger buffer if the client's was larger than ours."""
        channel = client.channel
        try:
            return channel.try_send_record(record)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            if make_room_for(channel.socket, len(record)):
                return channel.try_send_record(record)
            self.bytes_lost += len(record)
            raise

    def _wait_for_room(self, client: EchoClient, data: bytes) -> None:
        client.pending = data
        self._readiness.modify(client.channel.fd, WRITABLE)

    def _push(self, client: EchoClient) -> None:
        assert client.pending is not None
        try:
            if self._exchange == self._exchange_record:
                left = None if self._send_record(client, client.pending) else client.pending
            else:
                left = client.pending[client.channel.try_send(client.pending) :] or None
        except OSError as error:
            self._failed(client, error)
            return
        if self._clock is not None:
            client.touched = self._clock()
        client.pending = left
        if left is None:
            self._readiness.modify(client.channel.fd, READABLE)

    def _failed(self, client: EchoClient, error: OSError) -> None:
        """The client is gone; or its record is longer than what may be sent back (EMSGSIZE), and cut it must not be."""
        if not isinstance(error, ConnectionResetError | BrokenPipeError) and error.errno != errno.EMSGSIZE:
            raise error
        if error.errno == errno.EMSGSIZE:
            self.bytes_lost += client.channel.queued()
        self._finish(client, PieceEnd.RESET)

    def _finish(self, client: EchoClient, end: PieceEnd) -> None:
        channel = client.channel
        self._readiness.remove(channel.fd)
        del self.clients[channel.fd]
        self._sent += channel.bytes_sent
        self._on_finished(channel, end)
        channel.close()

    def drop(self, client: EchoClient, end: PieceEnd) -> None:
        """End a client's conversation from our side; what it has not taken back is lost, and counted."""
        self.bytes_lost += self._unreturned(client)
        self._finish(client, end)

    def connected(self) -> Iterable[EchoClient]:
        return self.clients.values()

    def end_conversations(self) -> None:
        """What was sent still goes back; what clients send from now on fails with EPIPE."""
        for client in tuple(self.clients.values()):
            client.channel.end_receiving()

    def drain(self) -> bool:
        return not self.clients

    def bytes_written(self) -> int:
        return self._sent + sum(client.channel.bytes_sent for client in self.clients.values())

    def stalled_s(self) -> float:
        """Never: one that does not read its echo holds up itself alone."""
        return 0.0

    def bytes_unwritten(self) -> int:
        """Echo that its clients have not taken, what they sent that was not read, and what was lost before."""
        return self.bytes_lost + sum(self._unreturned(client) for client in self.clients.values())

    def _unreturned(self, client: EchoClient) -> int:
        return len(client.pending or b"") + client.channel.queued()

    def close(self) -> None:
        """Close every channel and watch nothing any more."""
        self._readiness.close()
        for client in self.clients.values():
            client.channel.close()
        self.clients.clear()
