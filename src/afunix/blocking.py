"""The poll driver: connecting with a deadline, and two pumps until both directions have ended. No event loop.

Here it is decided what to wait for and when to stop waiting; the bytes are the pumps' (`kernel.pump`), the
clocks are `model.patience`, what an ending means is `model.conversation`. `afunix connect` stands on it, and
a program that is not asynchronous can: `blocking.connect("/run/app.sock", timeout=3)`.

Whatever a fast start costs is imported where it is used.
"""

from __future__ import annotations

import errno
import math
import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .kernel import dial
from .kernel.channel import Channel
from .kernel.output import Output, OutputKind
from .kernel.pump import Pump, Wants
from .kernel.socket_types import TYPE_NUMBERS, type_word
from .model.address import Address, AddressKind
from .model.conversation import Ending
from .model.patience import Patience, Retrying

if TYPE_CHECKING:
    from socket import SocketType

    from .kernel.input import Input
    from .kernel.interrupts import Interrupts
    from .kernel.record_pump import RecordPump
    from .model.errors import AfunixError
    from .model.events import Observer

_SLICE_S = 0.2
"""How long one connect(2) waits for room in a backlog, so that a signal is noticed between two."""

_FLUSH_PATIENCE_S = 5.0
"""After a signal: how long a STDOUT that nobody reads is waited for."""

_TRIED_IN_TURN = tuple(TYPE_NUMBERS)


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
    from .kernel.channel import TracedChannel

    return TracedChannel(sock, observer=observer, owned=owned)


def close(channel: Channel, observer: Observer | None = None) -> None:
    """Close a channel and tell it; idempotent."""
    if channel.is_closed:
        return
    fd = channel.fd
    channel.close()
    if observer is not None:
        from .model.events import Closed

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
        from .model.events import CallFailed, Connected
        from .model.lifecycle import Call

        fd = sock.fileno()
        self.observer(
            CallFailed(fd, Call.CONNECT, answer, self.address) if answer else Connected(fd, self.address)
        )

    def _after_failure(self, answer: int, word: str) -> None:
        """Wait for the next attempt, or raise what the last one means."""
        from .model.refusal import WORTH_WAITING_FOR, gave_up

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
        from .kernel import obstacle
        from .model.refusal import refusal

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
    poll.poll(_milliseconds(seconds))
    if interrupts is not None:
        interrupts.check()


def _take_inherited(address: Address, socket_type: str | None) -> SocketType:
    sock = dial.take_connected(address)
    word = type_word(sock.type)
    if socket_type in (None, word):
        return sock
    from .model.refusal import Obstacle, refusal

    raise refusal(Obstacle(address, errno.EPROTOTYPE, wanted_type=socket_type or "", found_type=word))


def _require(channel: Channel, address: Address, uid: int) -> None:
    peer = channel.peer
    if peer.is_known and peer.uid == uid:
        return
    from .kernel import names
    from .model.errors import PeerMismatchError
    from .model.refusal import describe_user

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


class Conversation:
    """Both directions of one channel, and everything that can end them.

    `outward` is None if nothing is to be sent. `source` and `output` are what the pumps read and write, None
    if there is nothing to wait for there (replies are discarded). `ends_with_source`: the end of what is to
    be sent is the end of all (datagrams have no other). Borrows everything.
    """

    def __init__(
        self,
        channel: Channel,
        inward: Pump,
        outward: Pump | RecordPump | None,
        *,
        source: Input | None,
        output: Output | None,
        interrupts: Interrupts | None = None,
        idle_timeout: float | None = None,
        deadline: float | None = None,
        ends_with_source: bool = False,
        has_end: bool = True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.channel = channel
        self.inward = inward
        self.outward = outward
        self.source = source
        self.output = output
        self.hung_up = False
        """The peer has closed both directions."""
        self.output_gone = False
        """The reader of the output went away while there was nothing to write."""
        self._interrupts = interrupts
        self._patience = Patience(now(), idle=idle_timeout, deadline=deadline)
        self._ends_with_source = ends_with_source
        self.has_end = has_end
        self._now = now
        self._in_wants = Wants.TURN
        self._out_wants = Wants.NOTHING if outward is None else Wants.TURN

    def run(self) -> Ending:
        """Move bytes until there is a reason to stop. After a signal, what has been received is written
        first.
        """
        while True:
            self._step()
            ending = self._ending()
            if ending is None:
                self._wait()
                continue
            if ending is Ending.SIGNAL:
                self._flush()
            return ending

    def _step(self) -> None:
        before = self._progress()
        if self.outward is not None and not self.hung_up:
            self._out_wants = self.outward.step()
        self._in_wants = self.inward.step()
        self._patience.note(
            self._now(), moved=self._progress() != before, paused=self._in_wants is Wants.SINK
        )

    def _progress(self) -> tuple[int, int, int]:
        sent = self.outward.moved if self.outward is not None else 0
        return self.inward.taken, self.inward.moved, sent

    def _ending(self) -> Ending | None:
        if self._interrupts is not None and self._interrupts.number:
            return Ending.SIGNAL
        if self.output_gone or self.inward.sink_error is not None:
            return Ending.OUTPUT
        if self.inward.is_finished and (self._out_wants is Wants.NOTHING or self.hung_up):
            return Ending.ENDED
        is_quiet = self._out_wants is Wants.NOTHING and self._in_wants is Wants.SOURCE
        if is_quiet and self._must_not_wait_for_more():
            return Ending.ENDED
        expiry = self._patience.expiry(self._now())
        return Ending(expiry.value) if expiry is not None else None

    def _must_not_wait_for_more(self) -> bool:
        """Sending is over, and all that has come is written: is there no point in waiting for the peer's
        end?
        """
        outward = self.outward
        if outward is None:
            return False
        if outward.source_error is not None or outward.too_long:
            return True
        return self._ends_with_source or (not self.has_end and outward.sink_error is not None)

    def _wait(self) -> None:
        poll = select.poll()
        for fd, mask in self._masks().items():
            poll.register(fd, mask)
        for fd, events in poll.poll(self._poll_timeout()):
            self._note(fd, events)

    def _masks(self) -> dict[int, int]:
        masks: dict[int, int] = {}
        if not self.hung_up:
            self._add_channel(masks)
            self._add_source(masks)
        if self.output is not None:
            if self.output.kind in (OutputKind.PIPE, OutputKind.SOCKET, OutputKind.TERMINAL):
                masks.setdefault(self.output.fd, 0)
            if self._in_wants is Wants.SINK and self.output.wait_fd is not None:
                masks[self.output.wait_fd] = masks.get(self.output.wait_fd, 0) | select.POLLOUT
        if self._interrupts is not None:
            masks[self._interrupts.fd] = select.POLLIN
        return masks

    def _add_channel(self, masks: dict[int, int]) -> None:
        mask = select.POLLIN if self._in_wants is Wants.SOURCE else 0
        if self._out_wants is Wants.SINK:
            mask |= select.POLLOUT
        if mask or self.has_end:  # without a bit: to hear of the end; a datagram socket has none
            masks[self.channel.fd] = mask

    def _add_source(self, masks: dict[int, int]) -> None:
        source = self.source
        if self._out_wants is Wants.SOURCE and source is not None and source.wait_fd is not None:
            masks[source.wait_fd] = select.POLLIN

    def _poll_timeout(self) -> int | None:
        if self._is_ready(self._in_wants, self.output) or self._is_ready(self._out_wants, self.source):
            return 0
        left = self._patience.left(self._now())
        return None if left is None else _milliseconds(left)

    def _is_ready(self, wants: Wants, end: Input | Output | None) -> bool:
        """Is there nothing to poll for? The channel always can be; its end of a pump is not looked at
        here.
        """
        if wants is Wants.TURN:
            return True
        its_own = Wants.SINK if end is self.output else Wants.SOURCE
        return wants is its_own and end is not None and end.wait_fd is None

    def _note(self, fd: int, events: int) -> None:
        if not events & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
            return
        if fd == self.channel.fd:
            self.hung_up = self.has_end
        elif self.output is not None and fd == self.output.fd:
            self.output_gone = True

    def _flush(self) -> None:
        """Write what was received so far, and what waits in the socket; the peer can send no more
        meanwhile.
        """
        if self.has_end:
            self.channel.end_receiving()
        deadline = self._now() + _FLUSH_PATIENCE_S
        while self._now() < deadline and not self.output_gone:
            self._in_wants = self.inward.step()
            if self._in_wants in (Wants.SOURCE, Wants.NOTHING):
                return
            if self._in_wants is Wants.SINK and self.output is not None:
                poll = select.poll()
                poll.register(
                    self.output.fd if self.output.wait_fd is None else self.output.wait_fd, select.POLLOUT
                )
                poll.poll(_milliseconds(deadline - self._now()))


def _milliseconds(seconds: float) -> int:
    """For poll(2): rounded up, so that a deadline has passed when it returns."""
    return max(0, math.ceil(seconds * 1000))
