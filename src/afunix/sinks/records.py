"""Records to the output, each whole: seqpacket connections, and the datagrams of one socket.

A record is never held: it is complete when it comes. What stands between two of them (a newline, a NUL, nothing),
or what it is wrapped in (a label, JSON), is a `Frame`. Everything else, the way out and the waiting included, is
the collector's.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Iterable

from ..formats.label import Sender
from ..formats.text import TerminalText
from ..kernel.ancillary import close_descriptors
from ..kernel.channel import Channel
from ..kernel.listener import Listener
from ..kernel.names import comm_of, user_name
from ..kernel.output import Output
from ..kernel.peercred import credentials_from
from ..model.credentials import PeerCredentials
from ..model.events import BytesRead, Observer, Refused
from ..model.framing import PieceEnd
from ..model.rules import Rules
from ..streams.readiness import Readiness
from .collector import Client, Collector
from .framings import sender_of
from .outflow import FLUSH_BYTES, Outflow

Frame = Callable[[Sender | None, bytes, float], bytes]
"""A record as it is written; the sender is None where nobody asked for it."""

BATCH = 64
"""Records received from one client, or of one datagram socket, before others get their turn."""

_UNDELIVERABLE = (
    errno.EAGAIN,
    errno.ECONNREFUSED,
    errno.ENOENT,
    errno.EPERM,
    errno.EACCES,
    errno.EMSGSIZE,
    errno.EPROTOTYPE,
)
"""Why a datagram does not reach its sender: no room, gone, not allowed, longer than we may send, another's name now."""

_CREDENTIALS_SPACE = socket.CMSG_SPACE(12)


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


class DatagramCollector:
    """Everything that arrives on bound datagram sockets. The kernel says who sent each one (SO_PASSCRED).

    Owns nothing but its place in the loop: the listeners are their owner's. With `echo`, a datagram goes back to
    its sender, if that has a name, and not to the output; one that its sender has no room for is dropped, as
    datagrams are, and counted in `echoes_lost`.
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
        """Take what is queued to its end, for the stop; the output's patience is the caller's business."""
        for listener in self._listeners:
            while not self.outflow.is_blocked and self._receive(listener):
                pass
        self.outflow.flush()

    def _receive(self, listener: Listener) -> bool:
        sock = listener.socket
        try:
            size = sock.recv_into(bytearray(1), 1, socket.MSG_PEEK | socket.MSG_TRUNC | socket.MSG_DONTWAIT)
            record, ancillary, _, address = sock.recvmsg(
                size, _CREDENTIALS_SPACE, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
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
            sock.sendto(record, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL, address)
        except OSError as error:
            if error.errno not in _UNDELIVERABLE:
                raise
            self.echoes_lost += 1

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
        return self.outflow.bytes_unwritten()

    def close(self) -> None:
        """Watch nothing any more; the sockets stay open."""
        self.outflow.close()
        self._readiness.close()


def accept_credentials(sock: socket.SocketType) -> None:
    """Ask for the sender's credentials with each datagram; before bind, so that none comes without."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


def _sender(peer: PeerCredentials | None) -> Sender:
    if peer is None or not peer.is_known:
        return Sender(None, None, None, None, None, None)
    comm = comm_of(peer.pid) if peer.pid else None
    return Sender(None, peer.pid, peer.uid, peer.gid, user_name(peer.uid), comm)
