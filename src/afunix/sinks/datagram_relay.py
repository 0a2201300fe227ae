"""Datagrams to another socket, each whole, and the answers back to who asked: what a relay is for sockets of type dgram.

There are no connections, so each named sender gets a socket of its own towards the server: what comes back on it is for
that sender alone (`datagram_senders`). The senders without a name, whom nobody can answer, share one.

Nothing is thrown away for want of room: while the server's queue is full none is received, so that senders wait in
their own send(2); while a sender's queue is full its answers wait here, some (`datagram_sender`), then in the socket that
stands for it. Nobody else's do: what one may have unread is bounded (`answer_share`). But where that socket is full a server
that answers all by one socket has no room for the others either, as without a relay. A datagram that cannot be passed on
at all is lost, counted, and told.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterable

from ..kernel.ancillary import MAX_FDS
from ..kernel.channel import Channel
from ..kernel.datagram_channel import Datagram, ask_for_credentials
from ..kernel.descriptor_refusal import unwanted
from ..kernel.listener import Listener
from ..model.address import Address
from ..model.credentials import UNKNOWN_ID, PeerCredentials
from ..model.errors import AfunixError, TruncatedError
from ..model.events import Observer, Refused
from ..model.framing import PieceEnd
from ..model.rules import Rules
from ..streams.duplex import Duplex
from ..streams.readiness import BATCH, HUNG_UP, READABLE, WRITABLE, Readiness
from .datagram_sender import GONE, Near, Sender, send
from .datagram_senders import Senders
from .datagrams import queued_bytes


class DatagramRelay:
    """Owns its sockets towards the server. A `Sink`, though nobody is accepted. `max_senders` are remembered at once.

    `on_unreachable(channel, error)` is told why a datagram that came on `channel` got no further.
    """

    def __init__(
        self,
        listeners: list[Listener],
        server: Address,
        loop: asyncio.AbstractEventLoop,
        *,
        rules: Rules,
        max_senders: int,
        passes_fds: bool = False,
        silence_s: float | None = None,
        on_unreachable: Callable[[Channel, Exception], None],
        alerts: Observer | None = None,
    ) -> None:
        self.on_progress: Callable[[], None] = lambda: None
        self._nears = [Near(listener, credentials=bool(rules)) for listener in listeners]
        self._rules = rules
        self._max_fds = MAX_FDS if passes_fds else 0
        self._on_unreachable = on_unreachable
        self._alerts = alerts
        self._readiness: Readiness[Near | Sender] = Readiness(loop, self._on_ready)
        self.pairs = Senders(
            server,
            loop,
            self._readiness,
            max_senders=max_senders,
            max_fds=self._max_fds,
            silence_s=silence_s,
            on_progress=lambda: self.on_progress(),
            on_held_forgotten=self._push_held,
            alerts=alerts,
        )

    @property
    def bytes_lost(self) -> int:
        return self.pairs.bytes_lost

    def start(self) -> None:
        """Begin to receive."""
        for near in self._nears:
            if self._rules:
                ask_for_credentials(
                    near.channel.socket
                )  # ours have it since before bind; one that we took may not
            self._readiness.add(near.channel.fd, near)

    def _on_ready(self, item: Near | Sender, events: int) -> None:
        if isinstance(item, Near):
            self._receive_some(item)
            return
        if self.pairs.is_held(item) and events & (WRITABLE | HUNG_UP):
            self._push_held()
        if events & HUNG_UP and not item.far.is_closed:
            item.far.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # is told once, and stops nothing
        if events & (READABLE | HUNG_UP):
            self.pairs.on_answers(item)

    # To the server

    def _receive_some(self, near: Near) -> None:
        for _ in range(BATCH):
            if self.pairs.held is not None or not self._receive(near):
                return

    def _receive(self, near: Near) -> bool:
        dropped = near.channel.descriptors_closed
        try:
            datagram = near.channel.try_receive_datagram(max_fds=self._max_fds)
        except TruncatedError as error:
            self.pairs.fail(near.channel, errno.EMFILE, str(error))
            return False
        if datagram is None:
            return False
        if near.channel.descriptors_closed != dropped:
            self.pairs.lose(datagram)
            self.pairs.fail(near.channel, errno.EOPNOTSUPP, str(unwanted().strerror))
        elif not self._rules or self._may_send(near, datagram.peer):
            self._pass_on(near, datagram)
        else:
            datagram.close()
        return True

    def _may_send(self, near: Near, peer: PeerCredentials | None) -> bool:
        """By uid and gid: a datagram brings no supplementary groups with it (unix(7))."""
        known = peer or PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID)
        decision = self._rules.decide(known, ())
        if not decision.admitted and self._alerts is not None:
            self._alerts(Refused(near.channel.fd, known, decision.reason))
        return decision.admitted

    def _pass_on(self, near: Near, datagram: Datagram, *, is_again: bool = False) -> None:
        try:
            sender = self.pairs.find(near, datagram.sender)
        except (AfunixError, OSError) as error:
            self.pairs.lose(datagram)
            self._on_unreachable(near.channel, error)
            return
        if not self._push(sender, datagram, is_again=is_again):
            self._hold(sender, datagram)

    def _hold(self, sender: Sender, datagram: Datagram) -> None:
        """Until the server's queue has room; nothing else is received as long."""
        self.pairs.held = (sender, datagram)
        self.pairs.watch(sender)
        for near in self._nears:
            self._readiness.remove(near.channel.fd)

    def _push_held(self) -> None:
        if self.pairs.held is None:
            return
        (sender, datagram), self.pairs.held = self.pairs.held, None
        if not self._push(sender, datagram):
            self.pairs.held = (sender, datagram)
        if self.pairs.held is not None:
            return
        self.pairs.watch(sender)
        if not self.pairs.is_ending:
            for near in self._nears:
                self._readiness.add(near.channel.fd, near)
        self.on_progress()

    def _push(self, sender: Sender, datagram: Datagram, *, is_again: bool = False) -> bool:
        """False: there is no room now. True: it has gone, or is held elsewhere, or never will go."""
        unread = self.pairs.secure_answers(sender)
        try:
            is_sent = send(sender.far, datagram)
        except OSError as error:
            if error.errno in GONE and not is_again:
                # a server that has been restarted has another socket at the same address
                self.pairs.fetch(sender)
                self.pairs.unplug(sender, unread)
                self._pass_on(sender.near, datagram, is_again=True)
            else:
                self.pairs.bytes_lost += max(unread - sender.bytes_unread(), 0)
                self.pairs.lose(datagram)
                self._on_unreachable(sender.near.channel, error)
            return True
        if is_sent:
            self.pairs.up += len(datagram.data)
            datagram.close()
        return is_sent

    # As a sink

    def on_channel(self, channel: Channel) -> None:
        """Never called: datagrams come without connections."""
        raise AssertionError("a datagram socket accepts nobody")

    def connected(self) -> Iterable[Duplex]:
        return ()

    def drop(self, client: Duplex, end: PieceEnd) -> None:
        """Never called, as there is nobody to drop."""

    def end_conversations(self) -> None:
        """There are none. What is queued is taken by `drain()`; what the server answers now fails there with EPIPE."""
        for near in self._nears:
            self._readiness.remove(near.channel.fd)
        self.pairs.end_receiving()

    def drain(self) -> bool:
        """Pass on what can be now; True if nothing is left that was sent before."""
        for near in self._nears:
            while self.pairs.held is None and self._receive(near):
                pass
        are_answered = self.pairs.drain()
        return self.pairs.held is None and are_answered

    def bytes_written(self) -> int:
        """Both ways."""
        return self.pairs.up + self.pairs.down

    def stalled_s(self) -> float:
        return 0.0

    def bytes_unwritten(self) -> int:
        """Held, lost, and queued in sockets that we are sent to, by clients or by the server."""
        ours = (near for near in self._nears if near.listener.is_ours)
        return self.pairs.bytes_unwritten() + sum(queued_bytes(near.channel.socket) for near in ours)

    def close(self) -> None:
        """Forget every sender, and watch nothing any more; the listeners' sockets stay open. Idempotent."""
        self.pairs.close()
        self._readiness.close()

    async def wait_closed(self) -> None:
        """There is nothing to wait for."""
