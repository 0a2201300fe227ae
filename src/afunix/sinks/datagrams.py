"""Datagrams to the output, each whole; or, for `--echo`, back to whoever sent them.

They come without connections: nobody is accepted, and the kernel says of each who sent it. While the output takes
nothing, none is received: senders wait in their own send(2).
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Iterable

from ..formats.label import Sender
from ..formats.text import TerminalText
from ..kernel.ancillary import SENDER_SPACE, close_descriptors
from ..kernel.channel import SO_PEEK_OFF, Channel
from ..kernel.listener import Listener
from ..kernel.names import comm_of, user_name
from ..kernel.output import Output
from ..kernel.peercred import credentials_from
from ..kernel.record_channel import make_room_for
from ..kernel.whole_messages import receive_whole
from ..model.credentials import PeerCredentials
from ..model.events import BytesRead, Observer, Refused
from ..model.framing import PieceEnd
from ..model.rules import Rules
from ..streams.readiness import Readiness
from .collector import Client
from .outflow import FLUSH_BYTES, Outflow
from .records import BATCH, Frame

INHERITED_MAX = 1024
"""Datagrams that a stop still takes of a socket that we may not shut down: more than any queue holds by default
(net.unix.max_dgram_qlen), and an end even if somebody sends for ever."""

_GONE = (errno.ECONNREFUSED, errno.ENOENT, errno.EPROTOTYPE, errno.EPIPE, errno.ECONNRESET)
"""Whoever sent it is not there any more (or reads no more, or another has its name now): nobody waits for the echo."""

_NOT_TAKEN = (errno.EAGAIN, errno.EPERM, errno.EACCES, errno.EMSGSIZE, errno.ENOBUFS)
"""It is there and does not get it: no room, not allowed, longer than we may send."""


class DatagramCollector:
    """Everything that arrives on bound datagram sockets. The kernel says who sent each one (SO_PASSCRED).

    Owns nothing but its place in the loop: the listeners are their owner's. With `echo`, a datagram goes back to
    its sender, if that has a name, and not to the output; one that its sender has no room for is dropped, as
    datagrams are, and counted in `echoes_lost`, its bytes in `bytes_lost` unless the sender itself is gone.
    """

    def __init__(
        self,
        listeners: list[Listener],
        output: Output,
        loop: asyncio.AbstractEventLoop,
        frame: Frame,
        *,
        needs_sender: bool,
        escapes: bool,
        echo: bool,
        rules: Rules,
        on_failure: Callable[[OSError], None],
        observer: Observer | None,
        alerts: Observer | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._listeners = listeners
        self._frame = frame
        self._needs_sender = needs_sender
        self._escapes = escapes
        self._echo = echo
        self._rules = rules
        self._observer = observer
        self._alerts = alerts
        self._now = now
        self._readiness: Readiness[Listener] = Readiness(loop, self._on_ready, self._on_turn)
        self.outflow = Outflow(
            output,
            loop,
            on_stall=self._readiness.pause,
            on_flow=self._on_flow,
            on_failure=on_failure,
        )
        self.on_progress: Callable[[], None] = lambda: None
        self.received = 0
        self.echoes_lost = 0
        self.bytes_lost = 0
        self._may_take: dict[int, int] = {}

    def _on_flow(self) -> None:
        self._readiness.resume()
        self.on_progress()

    def start(self) -> None:
        """Begin to receive."""
        for listener in self._listeners:
            if self._needs_sender or self._rules:
                accept_credentials(
                    listener.socket
                )  # ours have it since before bind; one that we were handed may not
            self._readiness.add(listener.fd, listener)

    def _on_ready(self, listener: Listener, events: int) -> None:
        for _ in range(BATCH):
            if not self._receive(listener):
                return

    def _on_turn(self) -> None:
        if self.outflow.queued:
            self.outflow.flush()

    def receive_queued(self) -> None:
        """Take what is queued to its end, for the stop; the output's patience is the caller's business.

        An inherited socket may have no end of it: of that INHERITED_MAX datagrams, the rest is its other holders'.
        """
        for listener in self._listeners:
            while self._may_receive(listener) and self._receive(listener):
                pass
        self.outflow.flush()

    def _may_receive(self, listener: Listener) -> bool:
        if self.outflow.is_blocked or listener.is_ours:
            return not self.outflow.is_blocked
        left = self._may_take.setdefault(listener.fd, INHERITED_MAX)
        self._may_take[listener.fd] = max(left - 1, 0)
        return left > 0

    def _receive(self, listener: Listener) -> bool:
        sock = listener.socket
        try:
            record, ancillary, _, address = receive_whole(sock, SENDER_SPACE)
        except BlockingIOError:
            return False
        close_descriptors(ancillary)
        self.received += 1
        if self._observer is not None:
            self._observer(BytesRead(listener.fd, len(record)))
        peer = credentials_from(ancillary)
        if self._rules and not self._may_send(listener, peer):
            return True
        if self._echo:
            self._send_back(sock, record, address)
        else:
            self._put(record, peer)
        return True

    def _may_send(self, listener: Listener, peer: PeerCredentials | None) -> bool:
        """By uid and gid: a datagram brings no supplementary groups with it (unix(7))."""
        known = peer or PeerCredentials(None, 0xFFFFFFFF, 0xFFFFFFFF)
        decision = self._rules.decide(known, ())
        if not decision.admitted and self._alerts is not None:
            self._alerts(Refused(listener.fd, known, decision.reason))
        return decision.admitted

    def _put(self, record: bytes, peer: PeerCredentials | None) -> None:
        framed = self._frame(_sender(peer) if self._needs_sender else None, record, self._now())
        self.outflow.queue(TerminalText().show(framed, final=True) if self._escapes else framed)
        if self.outflow.queued > FLUSH_BYTES:
            self.outflow.flush()

    def _send_back(self, sock: socket.socket, record: bytes, address: str | bytes | None) -> None:
        if not address:
            return
        try:
            _send_to(sock, record, address)
        except OSError as error:
            if error.errno not in _GONE + _NOT_TAKEN:
                raise
            self.echoes_lost += 1
            self.bytes_lost += len(record) if error.errno in _NOT_TAKEN else 0

    def on_channel(self, channel: Channel) -> None:
        """Never called: datagrams come without connections."""
        raise AssertionError("a datagram socket accepts nobody")

    def connected(self) -> Iterable[Client]:
        return ()

    def drop(self, client: Client, end: PieceEnd) -> None:
        """Never called, as there is nobody to drop."""

    def end_conversations(self) -> None:
        """There are none; what is queued is taken by `drain()`."""

    def drain(self) -> bool:
        """Receive and write what can be now; True if nothing is still on its way to the output."""
        self.receive_queued()
        return self.outflow.drain()

    def bytes_written(self) -> int:
        return self.outflow.written

    def stalled_s(self) -> float:
        return self.outflow.stalled_s()

    def bytes_unwritten(self) -> int:
        """On the way, echoes that were not taken, and what is queued in sockets that nobody has but us."""
        queued = sum(queued_bytes(listener.socket) for listener in self._listeners if listener.is_ours)
        return self.outflow.bytes_unwritten() + self.bytes_lost + queued

    def close(self) -> None:
        """Watch nothing any more; the sockets stay open."""
        self.outflow.close()
        self._readiness.close()


def accept_credentials(sock: socket.SocketType) -> None:
    """Ask for the sender's credentials with each datagram; before bind, so that none comes without."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


def _send_to(sock: socket.socket, record: bytes, address: str | bytes) -> None:
    """Send back, with a larger send buffer if the sender's was larger than ours."""
    flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
    try:
        sock.sendto(record, flags, address)
    except OSError as error:
        if error.errno != errno.EMSGSIZE or not make_room_for(sock, len(record)):
            raise
        sock.sendto(record, flags, address)


def queued_bytes(sock: socket.SocketType) -> int:
    """Bytes of all datagrams in the queue: FIONREAD knows the first only, so a peek goes from one to the next."""
    total = 0
    try:
        while True:
            sock.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, total)
            total += sock.recv_into(bytearray(1), 1, socket.MSG_PEEK | socket.MSG_TRUNC | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return total
    finally:
        sock.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, -1)


def _sender(peer: PeerCredentials | None) -> Sender:
    if peer is None or not peer.is_known:
        return Sender(None, None, None, None, None, None)
    comm = comm_of(peer.pid) if peer.pid else None
    return Sender(None, peer.pid, peer.uid, peer.gid, user_name(peer.uid), comm)
