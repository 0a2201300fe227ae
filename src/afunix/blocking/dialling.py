"""Connecting with a deadline: attempt, judge, wait, again. AF_UNIX has nothing to poll for, so this can
block.

One connect(2) waits for room in a backlog no longer than a slice, between two the signals are looked at. What
stands in the way is told by `model.refusal`; its words, and everything else that a fast start does not need,
are imported where they are used.
"""

from __future__ import annotations

import errno
import select
import time
from typing import TYPE_CHECKING

from ..kernel import dial
from ..kernel.channel import Channel
from ..kernel.socket_types import type_word
from ..model.address import Address, AddressKind
from ..model.patience import Retrying, milliseconds

if TYPE_CHECKING:
    from socket import SocketType

    from ..kernel.interrupts import Interrupts
    from ..model.errors import AfunixError
    from ..model.events import Observer

_SLICE_S = 0.2
"""How long one connect(2) waits for room in a backlog, so that a signal is noticed between two."""

_TRIED_IN_TURN = ("stream", "seqpacket", "dgram")


def connect(
    address: Address | str | bytes,
    *,
    timeout: float | None = None,
    wait: float | None = None,
    socket_type: str | None = None,
    require_uid: int | None = None,
    observer: Observer | None = None,
    interrupts: Interrupts | None = None,
) -> Channel:
    """Connect to `address`; the caller owns the Channel, whose `socket.type` says what the server turned out
    to be.

    A full backlog is waited for, `timeout` seconds at most. With `wait`, also a server that is not there yet,
    for that many seconds. Without `socket_type` the type is found out. `fd:3` is a connected socket that was
    inherited. With `require_uid` the server must have called listen(2) as that user; nothing is sent before
    that is known.

    Raises:
        AfunixError: NoSuchSocket-, NobodyListens-, Denied-, NotASocket-, WrongType-, TimedOut-, PeerMismatch-
        or
            AddressError, after which nothing is left open.
        Interrupted: a signal came, if `interrupts` are given.
    """
    if not isinstance(address, Address):
        address = Address.parse(address)
    if address.kind is AddressKind.INHERITED:
        sock = _take_inherited(address, socket_type)
    else:
        sock = _Dialling(address, socket_type, Retrying(time.monotonic(), timeout=timeout, wait=wait)).run(
            observer, interrupts
        )
    owned = address.kind is not AddressKind.INHERITED
    channel = make_channel(sock, observer, owned=owned)
    if require_uid is not None:
        try:
            _require(channel, address, require_uid)
        except BaseException:
            close(channel, observer)
            raise
    return channel


def make_channel(sock: SocketType, observer: Observer | None, *, owned: bool = True) -> Channel:
    """A Channel for `sock`; one that tells its calls, if there is an observer."""
    if observer is None:
        return Channel(sock)
    from ..kernel.channel import TracedChannel

    return TracedChannel(sock, observer=observer, owned=owned)


def close(channel: Channel, observer: Observer | None = None) -> None:
    """Close a channel and tell it; idempotent."""
    if channel.is_closed:
        return
    fd = channel.fd
    channel.close()
    if observer is not None:
        from ..model.events import Closed

        observer(Closed(fd, 0, channel.bytes_received, channel.bytes_sent))


class _Dialling:
    """One connection being made: attempt, judge, wait, again."""

    def __init__(self, address: Address, socket_type: str | None, retrying: Retrying) -> None:
        self.address = address
        self.types = (socket_type,) if socket_type is not None else _TRIED_IN_TURN
        self.retrying = retrying
        self.observer: Observer | None = None
        self.interrupts: Interrupts | None = None

    def run(self, observer: Observer | None, interrupts: Interrupts | None) -> SocketType:
        self.observer, self.interrupts = observer, interrupts
        while True:
            answer, word = 0, ""
            for word in self.types:
                sock, answer = self._attempt(word)
                if sock is not None:
                    return sock
                if answer != errno.EPROTOTYPE:
                    break
            self._after_failure(answer, word)

    def _attempt(self, word: str) -> tuple[SocketType | None, int]:
        sock = dial.open_socket(word, self.observer)
        try:
            answer = dial.try_connect(sock, self.address)
            while answer in (errno.EAGAIN, errno.EINTR) and not self.retrying.is_over(time.monotonic()):
                self._check()
                left = self.retrying.left(time.monotonic())
                seconds = _SLICE_S if left is None else max(min(_SLICE_S, left), 1e-6)
                answer = dial.connect_within(sock, self.address, seconds)
        except BaseException:
            dial.close_socket(sock, self.observer)
            raise
        self._tell(sock, answer)
        if answer == 0:
            return sock, 0
        dial.close_socket(sock, self.observer)
        return None, errno.EAGAIN if answer == errno.EINTR else answer

    def _tell(self, sock: SocketType, answer: int) -> None:
        if self.observer is None:
            return
        from ..model.events import CallFailed, Connected
        from ..model.lifecycle import Call

        fd = sock.fileno()
        self.observer(
            CallFailed(fd, Call.CONNECT, answer, self.address) if answer else Connected(fd, self.address)
        )

    def _after_failure(self, answer: int, word: str) -> None:
        """Wait for the next attempt, or raise what the last one means."""
        from ..model.refusal import WORTH_WAITING_FOR, gave_up

        self._check()
        now = time.monotonic()
        over = self.retrying.is_over(now)
        if not over and self.retrying.retries and answer in WORTH_WAITING_FOR:
            pause(self.retrying.next_pause(now), self.interrupts)
            return
        error = self._explain(answer, word)
        if over and self.retrying.limit is not None and answer in WORTH_WAITING_FOR:
            raise gave_up(self.retrying.limit, error)
        raise error

    def _explain(self, answer: int, word: str) -> AfunixError:
        from ..kernel import obstacle
        from ..model.refusal import refusal

        found = self._find_type(word) if answer == errno.EPROTOTYPE else None
        return refusal(obstacle.look(self.address, answer, wanted_type=word, found_type=found))

    def _find_type(self, wrong: str) -> str | None:
        """The type that the server really has; a stream or seqpacket server sees a client that leaves at
        once.
        """
        for word in reversed(_TRIED_IN_TURN):
            if word != wrong:
                sock = dial.open_socket(word, self.observer)
                answer = dial.try_connect(sock, self.address)
                self._tell(sock, answer)
                dial.close_socket(sock, self.observer)
                if answer in (0, errno.EAGAIN, errno.EPERM):
                    return word
        return None

    def _check(self) -> None:
        if self.interrupts is not None:
            self.interrupts.check()


def pause(seconds: float, interrupts: Interrupts | None = None) -> None:
    """Wait; a signal ends it early.

    Raises:
        Interrupted: a signal came.
    """
    poll = select.poll()
    if interrupts is not None:
        poll.register(interrupts.fd, select.POLLIN)
    poll.poll(milliseconds(seconds))
    if interrupts is not None:
        interrupts.check()


def _take_inherited(address: Address, socket_type: str | None) -> SocketType:
    sock = dial.take_connected(address)
    word = type_word(sock.type)
    if socket_type in (None, word):
        return sock
    from ..model.refusal import Obstacle, refusal

    sock.close()
    raise refusal(Obstacle(address, errno.EPROTOTYPE, wanted_type=socket_type or "", found_type=word))


def _require(channel: Channel, address: Address, uid: int) -> None:
    peer = channel.peer
    if peer.is_known and peer.uid == uid:
        return
    from ..kernel import names
    from ..model.errors import PeerMismatchError
    from ..model.refusal import describe_user

    wanted = describe_user(uid, names.user_name(uid))
    if not peer.is_known:
        raise PeerMismatchError(
            f"'{address}' does not tell who it is, and it must be {wanted}",
            hint="only stream and seqpacket sockets do",
        )
    found = describe_user(peer.uid, names.user_name(peer.uid))
    raise PeerMismatchError(
        f"'{address}' is served by {found}, and it must be {wanted}",
        hint="nothing was sent",
    )
