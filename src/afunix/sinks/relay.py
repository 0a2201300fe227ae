"""Every client gets a connection of its own to the far end, and a pair of pumps between the two: the sink of a relay.

A client whose connection cannot be had is closed, and `on_unreachable(channel, error)` is told why: it sees an end of
file, or a reset if it had sent something, or is a TCP client. Nobody else is concerned. While its connection is waited
for a client is not read; one that leaves without a word meanwhile is let go. Short of descriptors, clients wait until
some are given back.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Iterable

from ..endpoints.base import Endpoint
from ..kernel.bridged_socket import refuse_more
from ..kernel.channel import Channel
from ..kernel.tcp import is_tcp, reset_on_close
from ..model.acceptance import AcceptFailure, classify, next_pause
from ..model.errors import AfunixError
from ..model.framing import PieceEnd
from ..streams.duplex import Duplex, OneWay
from ..streams.duplex_set import DuplexSet
from ..streams.farewell import Break, Farewells, break_of
from ..streams.readiness import Readiness

MakePumps = Callable[[Channel, Channel], tuple[OneWay, OneWay]]


class Relay:
    """Owns the channels that it is given, and those that it makes, until they are closed.

    `on_finished(channel, end)` is told of each client before that, and `on_freed(channel)` when nothing of it is waited
    for any more, so that another may have its place; `on_over(duplex)` of each pair that is over, `on_broken(what)` of
    one that broke, while its ends are open. Nobody may be accepted between `on_shortage(error)`, when there were no
    descriptors or no memory for a connection, and `on_relief()`: they would take what is given back.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        make_pumps: MakePumps,
        loop: asyncio.AbstractEventLoop,
        *,
        on_finished: Callable[[Channel, PieceEnd], None],
        on_unreachable: Callable[[Channel, Exception], None],
        on_freed: Callable[[Channel], None] = lambda channel: None,
        check: Callable[[Channel, Channel], None] = lambda near, far: None,
        on_over: Callable[[Duplex], None] = lambda duplex: None,
        on_broken: Callable[[Break], None] = lambda broken: None,
        on_shortage: Callable[[Exception], None] = lambda error: None,
        on_relief: Callable[[], None] = lambda: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`check(near, far)` may raise an AfunixError for a connection that must not be used (to ourselves)."""
        self.on_progress: Callable[[], None] = lambda: None
        self.bytes_lost = 0
        """What was sent to somebody who was there, and did not reach him."""
        self._endpoint = endpoint
        self._make_pumps = make_pumps
        self._loop = loop
        self._on_finished = on_finished
        self._on_freed = on_freed
        self._on_unreachable = on_unreachable
        self._check = check
        self._tell_over = on_over
        self._on_broken = on_broken
        self._tell_shortage = on_shortage
        self._tell_relief = on_relief
        self._is_ending = False
        self._connecting: dict[Channel, asyncio.Task[None]] = {}
        self._leaving: Readiness[Channel] = Readiness(loop, self._on_left)
        self._short: set[Channel] = set()
        self._given_back = asyncio.Event()
        self._cancelled: list[asyncio.Task[None]] = []
        self.pairs = DuplexSet(loop, self._on_over, clock=clock)
        self._farewells = Farewells(loop, self._on_farewell)

    def on_channel(self, channel: Channel) -> None:
        try:
            far = self._endpoint.connect_now(channel)
            if far is not None:
                self._pair(channel, far)
                return
        except (AfunixError, OSError) as error:
            if not _is_shortage(error):
                self._turn_away(channel, error)
                return
            self._note_shortage(channel, error)
        self._connecting[channel] = self._loop.create_task(self._connect(channel))
        self._leaving.add(channel.fd, channel, events=0)  # epoll(7) tells of a hang-up unasked

    def _note_shortage(self, channel: Channel, error: Exception) -> None:
        self._short.add(channel)
        self._tell_shortage(error)

    async def _connect(self, channel: Channel) -> None:
        try:
            far = await self._get_connection(channel)
        except (AfunixError, OSError) as error:
            self._wait_no_more(channel)
            self._turn_away(channel, error)
            return
        self._wait_no_more(channel)
        try:
            self._pair(channel, far)
        except (AfunixError, OSError) as error:
            self._turn_away(channel, error)

    async def _get_connection(self, channel: Channel) -> Channel:
        pause_s = 0.0
        while True:
            try:
                return await self._endpoint.connect(channel)
            except OSError as error:
                if not _is_shortage(error):
                    raise
                self._note_shortage(channel, error)
            pause_s = next_pause(pause_s)
            self._given_back.clear()
            timer = self._loop.call_later(pause_s, self._given_back.set)
            try:
                await self._given_back.wait()
            finally:
                timer.cancel()

    def _wait_no_more(self, channel: Channel) -> None:
        self._connecting.pop(channel, None)
        self._leaving.remove(channel.fd)
        if channel in self._short:
            self._short.remove(channel)
            if not self._short:
                self._tell_relief()

    def _on_left(self, channel: Channel, events: int) -> None:
        """A client has closed while it was waiting. What it sent before that is still passed on."""
        if channel.queued():
            self._leaving.remove(channel.fd)
            return
        self._cancel(self._connecting[channel])
        self._wait_no_more(channel)
        self._finish(channel)

    def _cancel(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        self._cancelled = [each for each in self._cancelled if not each.done()]
        self._cancelled.append(task)

    def _pair(self, near: Channel, far: Channel) -> None:
        try:
            self._check(near, far)
            up, down = self._make_pumps(near, far)
            duplex = Duplex(near, far, up, down)
            self.pairs.add(duplex)
        except BaseException:
            far.close()
            raise
        if self._is_ending:
            self.pairs.end_conversation(duplex)
        if not duplex.is_over:
            self.pairs.start(duplex)

    def _turn_away(self, channel: Channel, error: Exception) -> None:
        self._on_unreachable(channel, error)
        if _has_left(channel):
            # Nobody learns that they went nowhere; who is there sees a reset.
            self.bytes_lost += channel.queued()
        if is_tcp(channel.socket):
            reset_on_close(channel.socket)
        self._finish(channel)

    def _finish(self, channel: Channel) -> None:
        self._on_finished(channel, PieceEnd.EOF)
        channel.close()
        self._on_freed(channel)

    def _on_over(self, duplex: Duplex) -> None:
        self.bytes_lost += duplex.unmoved
        self._tell_over(duplex)
        broken = break_of(duplex)
        if broken is not None:
            self._on_broken(broken)
        self._on_finished(duplex.near, PieceEnd.RESET if duplex.error is not None else PieceEnd.EOF)
        if not self._farewells.part(duplex):
            self._on_freed(duplex.near)
        if self._connecting:
            self._loop.call_soon(self._given_back.set)  # when its descriptors are closed

    def _on_farewell(self, duplex: Duplex) -> None:
        self._on_freed(duplex.near)
        if self._connecting:
            self._given_back.set()
        self.on_progress()

    def drop(self, client: Duplex, end: PieceEnd) -> None:
        """End a pair from our side; what both have sent and nobody has taken is lost, and counted."""
        self.pairs.end(client)

    def connected(self) -> Iterable[Duplex]:
        return self.pairs.connected()

    def end_conversations(self) -> None:
        """What both ends have sent is still passed on; what they send from now on fails with EPIPE."""
        self._is_ending = self._farewells.is_ending = True
        for channel in self._connecting:
            refuse_more(channel)
        self.pairs.end_conversations()

    def drain(self) -> bool:
        return not self.pairs.pairs and not self._connecting and not len(self._farewells)

    def bytes_written(self) -> int:
        return self.pairs.bytes_moved()

    def stalled_s(self) -> float:
        """Never: one pair that stalls holds up itself alone."""
        return 0.0

    def bytes_unwritten(self) -> int:
        waiting = sum(channel.queued() for channel in self._connecting)
        leaving = self._farewells.bytes_lost + self._farewells.bytes_waiting
        return self.bytes_lost + self.pairs.bytes_unmoved() + waiting + leaving

    def close(self) -> None:
        """Close every channel and watch nothing any more; then `wait_closed`."""
        self._leaving.close()
        for channel, task in self._connecting.items():
            self._cancel(task)
            channel.close()
        self._connecting.clear()
        self.pairs.close()
        self._farewells.close()
        self._endpoint.close()

    async def wait_closed(self) -> None:
        """Until the connections that were under way are given up, and nothing of them is open."""
        await asyncio.gather(*self._cancelled, return_exceptions=True)


def _has_left(channel: Channel) -> bool:
    poll = select.poll()
    poll.register(channel.fd, 0)
    return bool(poll.poll(0))


def _is_shortage(error: Exception) -> bool:
    """No descriptors or no memory: that passes."""
    return isinstance(error, OSError) and classify(error.errno) is AcceptFailure.SHORTAGE
