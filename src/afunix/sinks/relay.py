"""Every client gets a connection of its own to the far end, and a pair of pumps between the two: the sink of a relay.

A client whose connection cannot be had is closed, and `on_unreachable(channel, error)` is told why: it sees an end of
file, or a reset if it had sent something. Nobody else is concerned. While its connection is waited for a client is not
read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ..endpoints.base import Endpoint
from ..kernel.channel import Channel
from ..model.errors import AfunixError
from ..model.framing import PieceEnd
from ..streams.duplex import Duplex, DuplexSet, OneWay

MakePumps = Callable[[Channel, Channel], tuple[OneWay, OneWay]]


class Relay:
    """Owns the channels that it is given, and those that it makes, until they are closed.

    `on_finished(channel, end)` is told of each client before that; `on_pair(duplex)` of each pair that begins, and
    `on_over(duplex)` of each that is over.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        make_pumps: MakePumps,
        loop: asyncio.AbstractEventLoop,
        *,
        on_finished: Callable[[Channel, PieceEnd], None],
        on_unreachable: Callable[[Channel, Exception], None],
        check: Callable[[Channel, Channel], None] = lambda near, far: None,
        on_pair: Callable[[Duplex], None] = lambda duplex: None,
        on_over: Callable[[Duplex], None] = lambda duplex: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`check(near, far)` may raise an AfunixError for a connection that must not be used (to ourselves)."""
        self.on_progress: Callable[[], None] = lambda: None
        self.bytes_lost = 0
        self._endpoint = endpoint
        self._make_pumps = make_pumps
        self._loop = loop
        self._on_finished = on_finished
        self._on_unreachable = on_unreachable
        self._check = check
        self._on_pair = on_pair
        self._tell_over = on_over
        self._is_ending = False
        self._connecting: dict[Channel, asyncio.Task[None]] = {}
        self.pairs = DuplexSet(loop, self._on_over, clock=clock)

    def on_channel(self, channel: Channel) -> None:
        try:
            far = self._endpoint.connect_now(channel)
            if far is not None:
                self._pair(channel, far)
                return
        except (AfunixError, OSError) as error:
            self._turn_away(channel, error)
            return
        self._connecting[channel] = self._loop.create_task(self._connect(channel))

    async def _connect(self, channel: Channel) -> None:
        try:
            far = await self._endpoint.connect(channel)
            del self._connecting[channel]
            self._pair(channel, far)
        except (AfunixError, OSError) as error:
            self._connecting.pop(channel, None)
            self._turn_away(channel, error)

    def _pair(self, near: Channel, far: Channel) -> None:
        try:
            self._check(near, far)
            up, down = self._make_pumps(near, far)
        except BaseException:
            far.close()
            raise
        duplex = Duplex(near, far, up, down)
        self._on_pair(duplex)
        self.pairs.add(duplex)
        if self._is_ending and not duplex.is_over:
            near.end_receiving()
            far.end_receiving()

    def _turn_away(self, channel: Channel, error: Exception) -> None:
        self._on_unreachable(channel, error)
        self.bytes_lost += channel.queued()
        self._on_finished(channel, PieceEnd.EOF)
        channel.close()

    def _on_over(self, duplex: Duplex) -> None:
        """Bytes that an end has not taken while it was there are lost, and counted."""
        self.bytes_lost += duplex.up.held + duplex.down.held
        self._tell_over(duplex)
        self._on_finished(duplex.near, PieceEnd.RESET if duplex.error is not None else PieceEnd.EOF)

    def drop(self, client: Duplex, end: PieceEnd) -> None:
        """End a pair from our side; what both have sent and nobody has taken is lost, and counted."""
        self.bytes_lost += client.near.queued() + client.far.queued()
        self.pairs.end(client)

    def connected(self) -> Iterable[Duplex]:
        return self.pairs.connected()

    def end_conversations(self) -> None:
        """What both ends have sent is still passed on; what they send from now on fails with EPIPE."""
        self._is_ending = True
        self.pairs.end_conversations()

    def drain(self) -> bool:
        return not self.pairs.pairs and not self._connecting

    def bytes_written(self) -> int:
        return self.pairs.bytes_moved()

    def stalled_s(self) -> float:
        """Never: one pair that stalls holds up itself alone."""
        return 0.0

    def bytes_unwritten(self) -> int:
        waiting = sum(channel.queued() for channel in self._connecting)
        return self.bytes_lost + self.pairs.bytes_unmoved() + waiting

    def close(self) -> None:
        """Close every channel and watch nothing any more."""
        for channel, task in self._connecting.items():
            task.cancel()
            channel.close()
        self._connecting.clear()
        self.pairs.close()
        self._endpoint.close()
