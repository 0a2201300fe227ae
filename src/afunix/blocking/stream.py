"""`Stream`: one connection in a script or a thread. What is done is `kernel.stream_steps`'s; here poll(2) waits for it.

The same names as `streams.stream`, without await. What several threads may do with one of them is in `Stream`'s words,
how it is kept in `turnstile`.
"""

from __future__ import annotations

import os
import select
import socket
import warnings
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import IO, TypeVar

from ..kernel.channel import Channel
from ..kernel.descriptors import Descriptor, Received, number_of
from ..kernel.endpoint import Name
from ..kernel.receive_steps import CHUNK_BYTES
from ..kernel.steps import Data, Need, NoProgressError, Steps, must_be_positive
from ..kernel.stream_steps import StreamSteps
from ..model.errors import BrokenStreamError, BusyError, EndOfStream, TimedOutError
from ..model.patience import must_be_seconds, show_seconds
from ..model.stream_state import Stats
from . import turnstile
from .deadline import Deadline, wait_until
from .turnstile import Turnstile

T = TypeVar("T")

_EVENTS = {Need.READABLE: select.POLLIN, Need.WRITABLE: select.POLLOUT}


class Stream(StreamSteps):
    """One connection, both ways. `connect`, `attach`, `pair` and a Listener make them.

    `timeout` is how many seconds a call may last in all, `send_timeout` how many a send may go without progress; None:
    for ever. Both can be set at any time, and hold from the next call on. A receive that times out, or that the
    exception of a signal handler ends, loses nothing: what it had is unread. Of a send nothing may have gone; otherwise
    the sending is cut: `bytes_sent` of the error says after how many, and the next send raises BrokenStreamError.

    Threads: one may receive and another send at the same time; a second one in the same direction gets BusyError, and
    the first goes on. `unread` and `lines` belong to the one that receives. `close` and `abort` may come from any
    thread, and from a signal handler: whoever waits in a call gets ClosedError at once, and the number of the
    descriptor is given back only when the last call has left, so that none can reach another file. If somebody is in
    a call then, the connection ends for everybody who holds the socket, as with `abort`. Everything else may be asked
    at any time.

    Owns its descriptor until `close` or `detach`; use it with `with`. One that is forgotten warns (ResourceWarning).
    After a fork both processes hold it; the child can go on with it, or close its own.
    """

    __slots__ = ("_gate", "_generation", "_is_ours", "_opened_at", "_receive_poll", "_timeout")

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
        is_ours: bool = True,
        opened_at: str | None = None,
    ) -> None:
        """Not for users: see `attach`. `is_ours`: its flags are not anybody else's."""
        super().__init__(channel, local, remote, accept_fds=accept_fds, send_timeout=send_timeout)
        self._timeout = timeout
        self._is_ours = is_ours
        self._opened_at = opened_at
        _ = channel.peer  # while it can be asked
        self._receive_poll: select.poll | None = None
        self._gate = Turnstile(channel.socket.close)
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

    # Receiving

    def receive(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        """What has come, at least one byte and at most `max_bytes`; waits for it.

        Raises:
            EndOfStream: the peer sends no more, and everything that it sent was received.
            TimedOutError: nothing came for `timeout` seconds.
            BrokenStreamError: it closed without reading all that we sent (ECONNRESET); what it sent came first.
            BusyError: another thread is receiving; it goes on.
            ClosedError: closed here, before or meanwhile.
        """
        if max_bytes is not CHUNK_BYTES:
            must_be_positive(max_bytes, "max_bytes")
        gate = self._gate
        gate.enter()
        try:
            self._begin_receiving()
            try:
                is_empty = self._is_drained and not self._channel.bytes_put_back
                data = None if is_empty else self._take(max_bytes)
                return self._wait_and_take(max_bytes) if data is None else data
            finally:
                self._receiving = False
        except (EndOfStream, BrokenStreamError, OSError):
            if gate.is_shut:  # the end that it saw was our own closing
                raise self._closed_error() from None
            raise
        finally:
            gate.leave()

    def _wait_and_take(self, max_bytes: int) -> bytes:
        """What `receive` does, on which a conversation spends its time, once there is nothing at hand."""
        wait = None
        while True:
            if self._timeout is None:
                self._readable().poll()
            else:
                wait = wait or _Wait(self, None)
                wait.until(Need.READABLE)
            data = self._take(max_bytes)
            if data is not None:
                return data

    def _readable(self) -> select.poll:
        """One poll object for all of a stream's receives: only one is waiting at a time."""
        if self._receive_poll is None:
            self._receive_poll = self._poll_for(select.POLLIN)
        return self._receive_poll

    def receive_into(self, buffer: bytearray | memoryview) -> int:
        """Like `receive`, into `buffer`, which must not be empty: how many bytes there are now at its front."""
        return self._run(self._receive_into_steps(buffer))

    def receive_exactly(self, count: int) -> bytes:
        """Exactly `count` bytes.

        Raises:
            EndOfStream: the stream ended before. What came is unread: `receive` has it.
            Otherwise as `receive`, and what came is unread, too.
        """
        return self._run(self._receive_exactly_steps(count))

    def receive_until(self, separator: bytes, max_bytes: int = CHUNK_BYTES) -> bytes:
        """Everything through the next `separator`, at most `max_bytes` with it.

        Raises:
            LineTooLongError: it is not within `max_bytes`; the bytes are unread.
            EndOfStream: the stream ended before it came; what there is, is unread: `receive` has it.
            Otherwise as `receive`.
        """
        return self._run(self._receive_until_steps(separator, max_bytes))

    def lines(self, max_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The lines one by one, each with its newline (0x0A); the last one as it is if the peer did not finish it.

        `for` ends at the end of the stream. It can be left at any line: the others are still there. `timeout` is for
        each line.

        Raises:
            LineTooLongError: a line is longer than `max_bytes`, its newline included; its bytes are unread.
            Otherwise as `receive`.
        """
        must_be_positive(max_bytes, "max_bytes")
        return _Lines(self, max_bytes)

    def __iter__(self) -> Stream:
        """What comes, chunk by chunk, until the end."""
        return self

    def __next__(self) -> bytes:
        try:
            return self.receive()
        except EndOfStream:
            raise StopIteration from None

    def receive_file(self, file: Descriptor | IO[bytes], count: int | None = None) -> int:
        """Write what comes into `file` at its position: `count` bytes, or all up to the end. How many there were.

        Raises:
            EndOfStream: the stream ended before `count`; what came is in the file.
            OSError: `file` refused bytes; those are unread. Otherwise as `receive`; what came is in the file.
        """
        return self._run(self._receive_file_steps(_fileno(file), count))

    def receive_fds(self, max_bytes: int = CHUNK_BYTES, max_fds: int | None = None) -> Received:
        """Bytes, at least one, and the descriptors that were sent with the first of them, at most `max_fds`.

        The `Received` owns them, close-on-exec; what nobody takes from it is closed when its `with` is left. A
        receive of any other kind closes the descriptors that come with its bytes.

        Raises:
            TruncatedError: more came; those that were opened are closed, and the bytes are unread.
            AfunixError: the stream was opened without `accept_fds`. Otherwise as `receive`.
        """
        return self._run(self._receive_fds_steps(max_bytes, max_fds))

    # Sending

    def send(self, data: Data) -> None:
        """All of `data`; waits for room until `timeout`, or `send_timeout` without a byte gone.

        When it returns the kernel has the bytes. Nothing is an empty send.

        Raises:
            BrokenStreamError: the peer receives no more (EPIPE), or an earlier send was cut; `bytes_sent` of these went.
            TimedOutError: `bytes_sent` of these went.
            BusyError: another thread is sending; it goes on.
            ClosedError: closed here, or `send_eof` was called.
        """
        if not (data and isinstance(data, bytes)):
            self._run(self._send_steps(data), sends=True)
            return
        gate = self._gate
        gate.enter()
        try:
            self._begin_sending()
            try:
                before = self._channel.bytes_sent
                view = memoryview(data)
                sent = self._try_send(view, 0)
                if sent < len(data):
                    self._drive(self._send_rest(view, sent), before)
            finally:
                self._sending = False
        except (EndOfStream, BrokenStreamError, OSError):
            if gate.is_shut:  # the end that it saw was our own closing
                raise self._closed_error() from None
            raise
        finally:
            gate.leave()

    def send_many(self, buffers: Sequence[Data]) -> None:
        """All of `buffers` in their order, in one sendmsg(2) if there is room; otherwise as `send`."""
        self._run(self._send_many_steps(buffers), sends=True)

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

    def send_file(
        self,
        file: Descriptor | IO[bytes],
        *,
        offset: int = 0,
        count: int | None = None,
        zero_copy: bool = False,
    ) -> int:
        """The bytes of a regular file from `offset` on, `count` of them or all: how many went.

        They are copied, so that what was sent does not change with the file. With `zero_copy` its pages go
        (sendfile(2)): faster, and whoever writes to the file before the peer has read changes what it reads.

        Raises:
            OSError: `file` cannot be read there (ESPIPE: it is a pipe). Otherwise as `send`.
        """
        return self._run(self._send_file_steps(_fileno(file), offset, count, zero_copy), sends=True)

    def send_fds(self, data: Data, fds: Sequence[Descriptor]) -> None:
        """All of `data`, at least one byte, and `fds`, at most 253, which arrive with its first byte.

        They are borrowed until it returns; then the caller may close them.

        Raises:
            DescriptorsNotAcceptedError: the peer takes none (EPERM, Linux 6.16). Before that its kernel drops them.
            OSError: EBADF (one is closed), ETOOMANYREFS (too many are under way). Otherwise as `send`.
        """
        self._run(self._send_fds_steps(data, fds), sends=True)

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

        `attach(sock, unread=…)` takes them up again, in another thread or process. One that we made blocks from now
        on; one that was attached has its O_NONBLOCK as it was when it came.

        Raises:
            BusyError: a thread is using the stream.
            ClosedError: it is closed.
        """
        with turnstile.lock:
            if self._gate.is_used and not self.is_closed:
                raise BusyError("a thread is using this stream", hint="wait for it, then detach")
            blocks = self._is_ours or os.get_blocking(self.fileno())
            sock, unread = self._detach_socket()
        sock.setblocking(blocks)
        return sock, unread

    def __enter__(self) -> Stream:
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
        warnings.warn(f"unclosed {self!r}{where}", ResourceWarning, source=self, stacklevel=2)
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
            wait = _Wait(self, sent_before)
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


class _Wait:
    """The waits of one call: what is left of its time, and for a send since when nothing has gone."""

    __slots__ = ("_deadline", "_poll", "_seen", "_sent_before", "_stall", "_stream")

    def __init__(self, stream: Stream, sent_before: int | None) -> None:
        """`sent_before`: the stream's bytes when the send began; None: it receives."""
        self._stream = stream
        self._sent_before = sent_before
        self._deadline = Deadline(stream.timeout)
        self._stall = Deadline(stream.send_timeout)
        self._seen = stream._channel.bytes_sent
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
        if self._poll is None:
            self._poll = self._stream._poll_for(_EVENTS[need])
        if need is Need.READABLE:
            is_there = wait_until(self._poll, self._deadline)
        else:
            self._note_progress()
            is_there = wait_until(self._poll, self._deadline, self._stall)
        if not is_there:
            raise self._timed_out() if self._deadline.has_passed else NoProgressError()

    def _note_progress(self) -> None:
        sent = self._stream._channel.bytes_sent
        if sent != self._seen:
            self._seen = sent
            self._stall = Deadline(self._stream.send_timeout)

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


class _Lines:
    """The lines of a stream; see `Stream.lines`."""

    __slots__ = ("_max_bytes", "_stream")

    def __init__(self, stream: Stream, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> bytes:
        stream = self._stream
        if not stream._receiving and not stream.is_closed:
            line = stream._take_until(b"\n", self._max_bytes)  # no call is made while there are bytes at hand
            if line is not None:
                return line
        try:
            return stream._run(stream._line_steps(self._max_bytes))
        except EndOfStream:
            raise StopIteration from None


def _fileno(file: Descriptor | IO[bytes]) -> int:
    """The number of a file, whose own buffer is written out first."""
    if hasattr(file, "flush"):
        file.flush()
    return number_of(file)
