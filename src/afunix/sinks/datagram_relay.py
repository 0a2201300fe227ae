"""Datagrams to another socket, each whole, and the answers back to who asked: what a relay is for sockets of type dgram.

There are no connections, so each named sender gets a socket of its own towards the server: what comes back on it is for
that sender alone. The senders without a name, whom nobody can answer, share one. A sender who is silent for a while is
forgotten, the most silent first when there are too many; if it comes again, it is new to the server.

Nothing is thrown away for want of room: while the server's queue is full none is received, so that senders wait in
their own send(2); while a sender's queue is full its answers stay in its socket here. A datagram that cannot be passed
on at all is lost, counted, and told.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable

from ..kernel import dial, obstacle
from ..kernel.ancillary import MAX_FDS
from ..kernel.channel import Channel
from ..kernel.datagram_channel import Datagram, DatagramChannel, ask_for_credentials
from ..kernel.descriptor_refusal import unwanted
from ..kernel.listener import Listener
from ..kernel.record_channel import make_room_for
from ..model.address import Address, AddressKind
from ..model.credentials import UNKNOWN_ID, PeerCredentials
from ..model.errors import AddressError, AfunixError, TruncatedError
from ..model.escaping import quote
from ..model.events import Observer, PairFailed, Refused
from ..model.framing import PieceEnd
from ..model.refusal import refusal
from ..model.rules import Rules
from ..streams.duplex import Duplex
from ..streams.readiness import BATCH, HUNG_UP, READABLE, WRITABLE, Readiness
from .datagrams import queued_bytes

SILENCE_S = 60.0
"""How long a sender is remembered who sends nothing and is sent nothing."""

FIRST_PAUSE_S = 0.001
LONGEST_PAUSE_S = 0.1
"""Between two looks at a sender's full queue: nothing tells when there is room (see `streams.room`)."""

_GONE = (errno.ECONNREFUSED, errno.ENOENT, errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF)
"""Who was there is there no more; another may be at the same address."""


class _Near:
    """A socket that we are sent to. It stays its listener's."""

    def __init__(self, listener: Listener, *, credentials: bool) -> None:
        self.listener = listener
        self.channel = DatagramChannel(listener.socket, credentials=credentials)


class _Sender:
    """Who sends to us, and the socket that stands for it at the server."""

    def __init__(self, near: _Near, name: Address, far: DatagramChannel) -> None:
        self.near = near
        self.name = name
        self.far = far
        self.touched = 0.0
        self.waiting: Datagram | None = None  # an answer for whose queue there was no room
        self.pause_s = FIRST_PAUSE_S
        self.timer: asyncio.TimerHandle | None = None


class Senders:
    """Those who are remembered, and what all have been sent and have sent, in bytes."""

    def __init__(self) -> None:
        self.pairs: OrderedDict[tuple[int, Address], _Sender] = OrderedDict()
        self.up = self.down = 0

    def traffic(self) -> tuple[int, int]:
        return self.up, self.down


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
        self.bytes_lost = 0
        self.pairs = Senders()
        self._nears = [_Near(listener, credentials=bool(rules)) for listener in listeners]
        self._server = server
        self._loop = loop
        self._rules = rules
        self._max_senders = max_senders
        self._max_fds = MAX_FDS if passes_fds else 0
        self._silence_s = SILENCE_S if silence_s is None else silence_s
        self._on_unreachable = on_unreachable
        self._alerts = alerts
        self._readiness: Readiness[_Near | _Sender] = Readiness(loop, self._on_ready)
        self._held: tuple[_Sender, Datagram] | None = None
        self._own_names: set[Address] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to receive."""
        for near in self._nears:
            if self._rules:
                ask_for_credentials(
                    near.channel.socket
                )  # ours have it since before bind; one that we took may not
            self._readiness.add(near.channel.fd, near)

    def _on_ready(self, item: _Near | _Sender, events: int) -> None:
        if isinstance(item, _Near):
            self._receive_some(item)
            return
        if self._held is not None and self._held[0] is item and events & (WRITABLE | HUNG_UP):
            self._push_held()
        if events & READABLE and item.waiting is None:
            self._answer(item)
        elif events & HUNG_UP and not item.far.is_closed:
            self._forget(item)

    # To the server

    def _receive_some(self, near: _Near) -> None:
        for _ in range(BATCH):
            if self._held is not None or not self._receive(near):
                return

    def _receive(self, near: _Near) -> bool:
        dropped = near.channel.descriptors_closed
        try:
            datagram = near.channel.try_receive_datagram(max_fds=self._max_fds)
        except TruncatedError as error:
            self._fail(near.channel, errno.EMFILE, str(error))
            return False
        if datagram is None:
            return False
        if near.channel.descriptors_closed != dropped:
            self._lose(datagram)
            self._fail(near.channel, errno.EOPNOTSUPP, str(unwanted().strerror))
        elif not self._rules or self._may_send(near, datagram.peer):
            self._pass_on(near, datagram)
        else:
            datagram.close()
        return True

    def _may_send(self, near: _Near, peer: PeerCredentials | None) -> bool:
        """By uid and gid: a datagram brings no supplementary groups with it (unix(7))."""
        known = peer or PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID)
        decision = self._rules.decide(known, ())
        if not decision.admitted and self._alerts is not None:
            self._alerts(Refused(near.channel.fd, known, decision.reason))
        return decision.admitted

    def _pass_on(self, near: _Near, datagram: Datagram, *, is_again: bool = False) -> None:
        try:
            sender = self._sender(near, datagram.sender)
        except (AfunixError, OSError) as error:
            self._lose(datagram)
            self._on_unreachable(near.channel, error)
            return
        if not self._push(sender, datagram, is_again=is_again):
            self._hold(sender, datagram)

    def _hold(self, sender: _Sender, datagram: Datagram) -> None:
        """Until the server's queue has room; nothing else is received as long."""
        self._held = (sender, datagram)
        self._watch(sender)
        for near in self._nears:
            self._readiness.remove(near.channel.fd)

    def _push_held(self) -> None:
        if self._held is None:
            return
        (sender, datagram), self._held = self._held, None
        if not self._push(sender, datagram):
            self._held = (sender, datagram)
        if self._held is not None:
            return
        if not sender.far.is_closed:
            self._watch(sender)
        for near in self._nears:
            self._readiness.add(near.channel.fd, near)
        self.on_progress()

    def _push(self, sender: _Sender, datagram: Datagram, *, is_again: bool = False) -> bool:
        """False: there is no room now. True: it has gone, or is held elsewhere, or never will go."""
        try:
            is_sent = self._send(sender.far, datagram)
        except OSError as error:
            if error.errno in _GONE and not is_again:
                self._forget(
                    sender
                )  # a server that has been restarted has another socket at the same address
                self._pass_on(sender.near, datagram, is_again=True)
            else:
                self._lose(datagram)
                self._on_unreachable(sender.near.channel, error)
            return True
        if is_sent:
            self.pairs.up += len(datagram.data)
            datagram.close()
        return is_sent

    def _watch(self, sender: _Sender) -> None:
        answers = READABLE if sender.waiting is None else 0
        room = WRITABLE if self._held is not None and self._held[0] is sender else 0
        self._readiness.modify(sender.far.fd, answers | room)

    def _send(self, channel: DatagramChannel, datagram: Datagram, to: Address | None = None) -> bool:
        fds = [fd.fileno() for fd in datagram.fds]
        try:
            return channel.try_send_datagram(datagram.data, to, fds)
        except OSError as error:
            if error.errno != errno.EMSGSIZE or not make_room_for(channel.socket, len(datagram.data)):
                raise
        return channel.try_send_datagram(datagram.data, to, fds)

    def _lose(self, datagram: Datagram) -> None:
        self.bytes_lost += len(datagram.data)
        datagram.close()

    def _fail(self, channel: DatagramChannel, number: int, reason: str) -> None:
        if self._alerts is not None:
            self._alerts(PairFailed(channel.fd, 0, number, reason))

    # Who sends

    def _sender(self, near: _Near, name: Address) -> _Sender:
        """Whoever has that name, known or new.

        Raises:
            AfunixError, OSError: the server cannot be reached.
        """
        if name in self._own_names:
            raise AddressError(
                f"{quote(str(self._server))} leads back to this relay",
                hint="the second address is the server's",
            )
        key = (near.channel.fd, name)
        sender = self.pairs.pairs.get(key)
        if sender is None:
            if len(self.pairs.pairs) >= self._max_senders:
                self._forget_most_silent()
            sender = _Sender(near, name, self._connect(is_named=name.kind is not AddressKind.UNNAMED))
            self.pairs.pairs[key] = sender
            self._readiness.add(sender.far.fd, sender)
        self._touch(key, sender)
        return sender

    def _connect(self, *, is_named: bool) -> DatagramChannel:
        if is_named:
            sock = dial.open_socket("dgram", takes_descriptors=self._max_fds > 0)
        else:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            dial.prepare(sock, takes_descriptors=self._max_fds > 0)
            answer = dial.try_connect(sock, self._server)
            if answer:
                raise refusal(obstacle.look(self._server, answer, wanted_type="dgram"))
            if is_named:
                self._own_names.add(Address.from_kernel(sock.getsockname()))
        except BaseException:
            sock.close()
            raise
        return DatagramChannel(sock, credentials=False)

    def _touch(self, key: tuple[int, Address], sender: _Sender) -> None:
        sender.touched = self._loop.time()
        self.pairs.pairs.move_to_end(key)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._silence_s, self._forget_silent)

    def _forget_silent(self) -> None:
        self._sweep = None
        now = self._loop.time()
        while self.pairs.pairs:
            sender = next(iter(self.pairs.pairs.values()))
            if self._held is not None and self._held[0] is sender:
                sender.touched = now  # not silent: it is the server that does not listen
                self.pairs.pairs.move_to_end((sender.near.channel.fd, sender.name))
            left = sender.touched + self._silence_s - now
            if left > 0:
                self._sweep = self._loop.call_later(left, self._forget_silent)
                return
            self._forget(sender)

    def _forget_most_silent(self) -> None:
        for sender in self.pairs.pairs.values():
            if self._held is None or self._held[0] is not sender:
                self._forget(sender)
                return

    def _forget(self, sender: _Sender) -> None:
        if sender.timer is not None:
            sender.timer.cancel()
        if sender.waiting is not None:
            self._lose(sender.waiting)
            sender.waiting = None
        if self._held is not None and self._held[0] is sender:
            self._loop.call_soon(self._push_held)  # by another socket
        self.pairs.pairs.pop((sender.near.channel.fd, sender.name), None)
        if not sender.far.is_closed:
            self._own_names.discard(Address.from_kernel(sender.far.socket.getsockname()))
            self._readiness.remove(sender.far.fd)
            sender.far.close()

    # Back to the sender

    def _answer(self, sender: _Sender) -> None:
        for _ in range(BATCH):
            dropped = sender.far.descriptors_closed
            try:
                datagram = sender.far.try_receive_datagram(max_fds=self._max_fds)
            except (TruncatedError, OSError):
                self._forget(sender)
                return
            if datagram is None:
                return
            if sender.far.descriptors_closed != dropped:
                self._lose(datagram)
                self._fail(sender.far, errno.EOPNOTSUPP, str(unwanted().strerror))
            elif not self._give_back(sender, datagram):
                return

    def _give_back(self, sender: _Sender, datagram: Datagram) -> bool:
        """False: its queue is full, or it is gone."""
        self._touch((sender.near.channel.fd, sender.name), sender)
        try:
            is_sent = self._send(sender.near.channel, datagram, sender.name)
        except (AfunixError, OSError):
            self._lose(datagram)
            self._forget(sender)
            return False
        if is_sent:
            self.pairs.down += len(datagram.data)
            datagram.close()
            sender.pause_s = FIRST_PAUSE_S
            return True
        sender.waiting = datagram
        self._watch(sender)
        sender.timer = self._loop.call_later(sender.pause_s, self._try_again, sender)
        sender.pause_s = min(sender.pause_s * 2, LONGEST_PAUSE_S)
        return False

    def _try_again(self, sender: _Sender) -> None:
        sender.timer = None
        datagram, sender.waiting = sender.waiting, None
        if datagram is not None and self._give_back(sender, datagram):
            self._watch(sender)
            self.on_progress()

    # As a sink

    def on_channel(self, channel: Channel) -> None:
        """Never called: datagrams come without connections."""
        raise AssertionError("a datagram socket accepts nobody")

    def connected(self) -> Iterable[Duplex]:
        return ()

    def drop(self, client: Duplex, end: PieceEnd) -> None:
        """Never called, as there is nobody to drop."""

    def end_conversations(self) -> None:
        """There are none; what is queued is taken by `drain()`."""

    def drain(self) -> bool:
        """Pass on what can be now; True if nothing is left that was sent before."""
        for near in self._nears:
            while self._held is None and self._receive(near):
                pass
        return self._held is None

    def bytes_written(self) -> int:
        return self.pairs.up

    def stalled_s(self) -> float:
        return 0.0

    def bytes_unwritten(self) -> int:
        """Held, lost, and queued in sockets that we are sent to."""
        held = len(self._held[1].data) if self._held is not None else 0
        return (
            self.bytes_lost
            + held
            + sum(queued_bytes(near.channel.socket) for near in self._nears if near.listener.is_ours)
        )

    def close(self) -> None:
        """Forget every sender, and watch nothing any more; the listeners' sockets stay open. Idempotent."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self._held is not None:
            self._held[1].close()
            self._held = None
        for sender in tuple(self.pairs.pairs.values()):
            self._forget(sender)
        self._readiness.close()

    async def wait_closed(self) -> None:
        """There is nothing to wait for."""
