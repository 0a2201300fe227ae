"""How a thread waits for a stream, and how it ends: what `stream` stands on.

Going through steps with poll(2), the time of a call, `send_timeout`, several threads, and every end: close, abort,
detach, forgotten. What is moved is `stream`'s. Who is inside of a call is counted by `turnstile`. Counterpart:
`streams.waiting`.
"""

from __future__ import annotations

import select
import socket
import time
import warnings
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from ..kernel.channel import Channel
from ..kernel.endpoint import Endpoint, Name
from ..kernel.progress import Progress
from ..kernel.steps import Need, Steps
from ..model.errors import BrokenStreamError, BusyError, EndOfStream, TimedOutError
from ..model.events import Closed, Observer
from ..model.patience import must_be_seconds, show_seconds
from ..model.stream_state import Stats
from . import turnstile
from .deadline import Deadline, wait_until
from .turnstile import Turnstile

T = TypeVar("T")

_NEVER = Deadline(None)
_EVENTS = {Need.READABLE: select.POLLIN, Need.WRITABLE: select.POLLOUT}


class Waiting(Endpoint):
    """One end of a connection for threads: one that receives, one that sends, and any that closes."""

    __slots__ = ("_gate", "_generation", "_opened_at", "_receive_poll", "_timeout")

    _user = "thread"

    def __init__(
        self,
        channel: Channel,
        local: Name | None = None,
        remote: Name | None = None,
        *,
        timeout: float | None = None,
        accept_fds: int = 0,
        send_timeout: float | None = None,
        observer: Observer | None = None,
        opened_at: str | None = None,
    ) -> None:
        """Not for users: see `attach`."""
        super().__init__(channel, local, remote, accept_fds=accept_fds, send_timeout=send_timeout)
        self._timeout = timeout
        self._opened_at = opened_at
        _ = channel.peer  # while it can be asked
        self._receive_poll: select.poll | None = None
        close = channel.socket.close if observer is None else partial(_close_and_tell, channel, observer)
        self._gate = Turnstile(close)
        self._generation = turnstile.generation

    @property
    def timeout(self) -> float | None:
        """How many seconds each call may last; None: as long as it takes. 0: whatever needs no wait."""
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        if seconds is not None:
            must_be_seconds(seconds, "timeout")
        self._timeout = seconds

    # How it stands

    @property
    def stats(self) -> Stats:
        """Counters since it was opened."""
        with self._gate:
            return super().stats

    @property
    def peer_groups(self) -> tuple[int, ...]:
        """The peer's supplementary gids at the moment of `connect` (SO_PEERGROUPS, Linux 4.13).

        Raises:
            ClosedError: asked for after close.
        """
        with self._gate:
            return super().peer_groups

    @property
    def peer_label(self) -> str | None:
        """The peer's security label (SO_PEERSEC), None where no security module gives one.

        Raises:
            ClosedError: asked for after close.
        """
        with self._gate:
            return super().peer_label

    def open_pidfd(self) -> int:
        """A descriptor for the peer's process (pidfd_open(2)), close-on-exec: readable once it has ended. The caller
        owns it.

        From SO_PEERPIDFD (Linux 6.5), which cannot be mistaken; before that from the pid, which may be somebody
        else's by now.

        Raises:
            ClosedError: asked for after close.
            ProcessLookupError: the peer has ended and was reaped, or has no pid here.
        """
        with self._gate:
            return super().open_pidfd()

    # Ends

    def send_eof(self) -> None:
        """Half-close: the peer reads what was sent, then the end. Receiving goes on. Harmless if repeated.

        Raises:
            BusyError: another thread is sending.
        """
        with turnstile.lock:
            if self._channel.send_ended:
                return
            self._open_socket()
            if self._sending:
                raise BusyError(
                    "another thread is sending on this stream", hint="one at a time in each direction"
                )
            self._channel.end_sending()

    def wait_hangup(self, timeout: float | None = None) -> None:
        """Return once the peer has closed, or both directions have ended; waits `timeout` seconds at most.

        Takes no byte; a half-close by the peer is not a hang-up. May run in a thread beside a receive and a send. The
        stream's own `timeout` is not for this; None: for ever.

        Raises:
            TimedOutError: the peer is still there. ClosedError: closed here, before or meanwhile.
        """
        deadline = Deadline.after(timeout)
        with self._gate:
            is_over = wait_until(self._poll_for(0), deadline)
            self._open_socket()  # or it was we who hung up
        if not is_over:
            raise TimedOutError(
                f"the peer of this stream has not hung up within {show_seconds(timeout or 0.0)}"
            )

    def close(self) -> None:
        """Close, now; idempotent. From any thread: see the class for those who are in a call.

        What was sent stays sent; with bytes unread the peer gets ECONNRESET after it has read (unix(7)).
        """
        self._end(for_everybody=False)

    def abort(self) -> None:
        """End both directions for everybody who holds the socket, and close; idempotent."""
        self._end(for_everybody=True)

    def _end(self, *, for_everybody: bool) -> None:
        channel, gate = self._channel, self._gate
        if self._is_detached or not gate.shut():
            return
        try:
            channel.fd = -1  # for whoever looks from now on; the socket is closed by the last who leaves
            if for_everybody or gate.is_shared:
                self._shut_down()
        finally:
            gate.leave()

    def _shut_down(self) -> None:
        """Wake those who are in a call: their poll(2) tells a hang-up."""
        try:
            self._channel.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # ENOTCONN: the peer was first

    def detach(self) -> tuple[socket.socket, bytes]:
        """Give the socket away, with the bytes that were put back or read ahead: the caller owns both from now on.

        `attach(sock, unread=…)` takes them up again, in another thread or process. A socket that we made comes as a new
        one does: it blocks, without a timeout. Of one that was given to us O_NONBLOCK is as it was.

        Raises:
            BusyError: a thread is using the stream.
            ClosedError: it is closed.
        """
        with turnstile.lock:
            if self._gate.is_used and not self.is_closed:
                raise BusyError("a thread is using this stream", hint="wait for it, then detach")
            return self._detach_socket()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        try:
            gate = self._gate
        except AttributeError:
            return  # it was never made
        if gate.is_shut or self._is_detached:
            return
        where = f", opened at {self._opened_at}" if self._opened_at else ""
        try:
            warnings.warn(f"unclosed {self!r}{where}", ResourceWarning, source=self, stacklevel=2)
        finally:  # a warning may be an error
            self.close()

    def __repr__(self) -> str:
        fd = self._channel.fd
        where = "closed" if fd < 0 else f"fd={fd}"
        return f"<afunix.blocking.{type(self).__name__} {where} {self.state.name}>"

    # Waiting

    def _run(self, steps: Steps[T], *, sends: bool = False) -> T:
        """Go through `steps`, waiting for what they need. What interrupts a wait is thrown into them."""
        gate = self._gate
        gate.enter()
        try:
            return self._drive(steps, self._channel.bytes_sent if sends else None)
        except (EndOfStream, BrokenStreamError, OSError):
            if gate.is_shut:  # the end that it saw was our own closing
                raise self._closed_error() from None
            raise
        finally:
            gate.leave()

    def _drive(self, steps: Steps[T], sent_before: int | None) -> T:
        try:
            need = next(steps)
            wait = Wait(self, sent_before)
            while True:
                try:
                    wait.until(need)
                except BaseException as error:
                    need = steps.throw(error)
                else:
                    need = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result

    def _poll_for(self, events: int) -> select.poll:
        self._open_socket()
        poll = select.poll()
        poll.register(self._channel.socket.fileno(), events)
        return poll

    def _readable(self) -> select.poll:
        """One poll object for all of a stream's receives: only one is waiting at a time."""
        if self._receive_poll is None:
            self._receive_poll = self._poll_for(select.POLLIN)
        return self._receive_poll

    def _begin_receiving(self) -> None:
        with turnstile.lock:
            self._forget_the_parents()
            super()._begin_receiving()

    def _begin_sending(self) -> None:
        with turnstile.lock:
            self._forget_the_parents()
            super()._begin_sending()

    def _forget_the_parents(self) -> None:
        """Who was in a call when this process was forked is a thread of the parent."""
        if self._generation != turnstile.generation:
            self._generation = turnstile.generation
            self._receiving = self._sending = False
            self._receive_poll = None  # which a thread of the parent may have been in


def _close_and_tell(channel: Channel, observer: Observer) -> None:
    fd = channel.socket.fileno()  # the channel's own number is gone already
    channel.socket.close()
    if fd >= 0:
        observer(Closed(fd, channel.connection, channel.bytes_received, channel.bytes_sent))


class Wait:
    """The waits of one call: what is left of its time, and for a send since when nothing has gone."""

    __slots__ = ("_deadline", "_poll", "_progress", "_sent_before", "_stream")

    def __init__(self, stream: Waiting, sent_before: int | None) -> None:
        """`sent_before`: the stream's bytes when the send began; None: it receives."""
        self._stream = stream
        self._sent_before = sent_before
        self._deadline = Deadline(stream.timeout)
        self._progress = Progress(stream._channel)
        self._poll: select.poll | None = None

    def until(self, need: Need) -> None:
        """Wait for it.

        Raises:
            TimedOutError: the call's time is over.
            NoProgressError: the send's is.
        """
        if need is Need.TURN:
            if self._stream.timeout and self._deadline.has_passed:
                raise self._timed_out()
            return  # nothing is waited for, for which there need be time
        while not self._is_ready(need, self._next_look(need)):
            if self._deadline.has_passed:
                raise self._timed_out()

    def _next_look(self, need: Need) -> Deadline:
        limit_s = self._stream._send_timeout
        if need is not Need.WRITABLE or limit_s is None:
            return _NEVER
        return Deadline(self._progress.seconds_left(limit_s, time.monotonic()))

    def _is_ready(self, need: Need, look: Deadline) -> bool:
        """False: the call's time is over, or it is time to look for progress."""
        if self._poll is None:
            self._poll = self._stream._poll_for(_EVENTS[need])
        elif self._deadline.has_passed:
            return False  # it was said to be ready, and would be again, but what is waited for does not come
        return wait_until(self._poll, self._deadline, look)

    def _timed_out(self) -> TimedOutError:
        limit = show_seconds(self._stream.timeout or 0.0)
        if self._sent_before is None:
            return TimedOutError(
                f"what was to be received from this stream did not come within {limit}",
                hint="nothing is lost: what came can still be received",
            )
        gone = self._stream._channel.bytes_sent - self._sent_before
        return TimedOutError(
            f"the peer of this stream did not take everything within {limit}; {gone} bytes of this send had gone",
            bytes_sent=gone,
        )
