"""One who sends datagrams to a relay: its name, the socket that stands for it at the server, the answers kept for it.

What the server sends to that socket is for this sender alone. Answers that it has no room for are kept here up to a
bound; more stay in the socket, so that the server waits and nothing is thrown away.

Knows nothing of the other senders, nor of when something is received or sent: that is `datagram_senders`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque

from ..kernel import dial, obstacle
from ..kernel.ancillary import MAX_FDS
from ..kernel.datagram_channel import Datagram, DatagramChannel
from ..kernel.listener import Listener
from ..kernel.record_channel import make_room_for
from ..kernel.relay_trail import RelayTrail
from ..model.address import Address, AddressKind
from ..model.refusal import refusal
from .answer_share import AnswerShare, make_room
from .datagrams import queued_bytes

FIRST_PAUSE_S = 0.001
LONGEST_PAUSE_S = 0.1
"""Between two looks at a sender's full queue: nothing tells when there is room (see `streams.room`)."""

WAITING_BYTES = 3 << 17
WAITING_DATAGRAMS = 1024
"""Answers that are kept here for a sender who sends and does not read; more stay in its socket."""

EAGER_BYTES = 1 << 17
EAGER_DATAGRAMS = 512
"""So many are fetched as they come, so that what the server may have unread is left for the answers to others. The rest
is for those that have to leave the socket before something is sent on it."""

GONE = (errno.ECONNREFUSED, errno.ENOENT, errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF)
"""Who was there is there no more; another may be at the same address."""


class Near:
    """A socket that we are sent to. It stays its listener's."""

    def __init__(self, listener: Listener, *, credentials: bool) -> None:
        self.listener = listener
        self.channel = DatagramChannel(listener.socket, credentials=credentials)
        make_room(listener.socket)


class Sender:
    """Who sends to us, and the socket that stands for it at the server."""

    def __init__(self, near: Near, name: Address, far: DatagramChannel) -> None:
        self.near = near
        self.name = name
        self.far = far
        self.share = AnswerShare(near.channel.socket, name)
        self.touched = 0.0
        self.waiting: deque[Datagram] = deque()  # answers that it had no room for
        self.bytes_waiting = self.fds_waiting = 0
        self.is_read_out = False  # no answer can come any more, and none is in the socket
        self.pause_s = FIRST_PAUSE_S
        self.timer: asyncio.TimerHandle | None = None

    @property
    def key(self) -> tuple[int, Address]:
        return self.near.channel.fd, self.name

    @property
    def is_named(self) -> bool:
        return self.name.kind is not AddressKind.UNNAMED

    @property
    def is_full(self) -> bool:
        return (
            self.bytes_waiting >= WAITING_BYTES
            or len(self.waiting) >= WAITING_DATAGRAMS
            or self.fds_waiting >= MAX_FDS
        )

    @property
    def takes_more(self) -> bool:
        return (
            self.bytes_waiting < EAGER_BYTES
            and len(self.waiting) < EAGER_DATAGRAMS
            and self.fds_waiting < MAX_FDS // 2
        )

    def put(self, answer: Datagram) -> None:
        self.waiting.append(answer)
        self.bytes_waiting += len(answer.data)
        self.fds_waiting += len(answer.fds)

    def take(self) -> Datagram:
        answer = self.waiting.popleft()
        self.bytes_waiting -= len(answer.data)
        self.fds_waiting -= len(answer.fds)
        return answer

    def next_pause_s(self) -> float:
        """Each is twice the one before, until it has read something."""
        pause_s, self.pause_s = self.pause_s, min(self.pause_s * 2, LONGEST_PAUSE_S)
        return pause_s

    def cancel_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def bytes_unread(self) -> int:
        """What is queued in its socket."""
        return 0 if self.far.is_closed or self.is_read_out else queued_bytes(self.far.socket)


def connect(
    server: Address, trail: RelayTrail, asker: Address, *, takes_descriptors: bool
) -> DatagramChannel:
    """A socket towards the server that stands for `asker`, with a name of its own: for answers, and by which what comes
    back in a circle is known. To what stands for one without a name nothing can be answered (EPIPE).

    Raises:
        AfunixError, OSError: the server cannot be reached.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        dial.prepare(sock, takes_descriptors=takes_descriptors)
        can_be_answered = asker.kind is not AddressKind.UNNAMED
        if not can_be_answered:
            sock.shutdown(socket.SHUT_RD)
        if not trail.name_from(sock, asker) and can_be_answered:
            sock.bind("")  # what the kernel chooses
        answer = dial.try_connect(sock, server)
        if answer:
            raise refusal(obstacle.look(server, answer, wanted_type="dgram"))
    except BaseException:
        sock.close()
        raise
    return DatagramChannel(sock, credentials=False)


def send(channel: DatagramChannel, datagram: Datagram, to: Address | None = None) -> bool:
    """False: there is no room now. A datagram that is longer than the buffer gets a longer one."""
    fds = [fd.fileno() for fd in datagram.fds]
    try:
        return channel.try_send_datagram(datagram.data, to, fds)
    except OSError as error:
        if error.errno != errno.EMSGSIZE or not make_room_for(channel.socket, len(datagram.data)):
            raise
    return channel.try_send_datagram(datagram.data, to, fds)
