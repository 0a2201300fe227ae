"""`Stream`: one connection in a script or a thread. What is done is `kernel.stream_steps`'s; here it is called.

The same names as `streams.stream`, without await. `receive` and `send`, on which a conversation spends its time, are
written out; everything else drives the steps. How a thread waits, and how a stream ends, is `waiting`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO

from ..kernel.descriptors import Descriptor, Received, number_of
from ..kernel.receive_steps import CHUNK_BYTES, size_within
from ..kernel.steps import Data, Need, must_be_positive
from ..kernel.stream_steps import StreamSteps
from ..model.errors import BrokenStreamError, EndOfStream
from .waiting import Wait, Waiting


class Stream(Waiting, StreamSteps):
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

    __slots__ = ()

    # Receiving

    def receive(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        """What has come, at least one byte and at most `max_bytes` (and 16 MiB); waits for it.

        Raises:
            EndOfStream: the peer sends no more, and everything that it sent was received.
            TimedOutError: nothing came for `timeout` seconds.
            BrokenStreamError: it closed without reading all that we sent (ECONNRESET); what it sent came first.
            BusyError: another thread is receiving; it goes on.
            ClosedError: closed here, before or meanwhile.
        """
        if max_bytes is not CHUNK_BYTES:
            max_bytes = size_within(max_bytes)
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
                wait = wait or Wait(self, None)
                wait.until(Need.READABLE)
            data = self._take(max_bytes)
            if data is not None:
                return data

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
            LineTooLongError: a line is longer than `max_bytes`, its newline included, which an unfinished last line is
                counted with; its bytes are unread.
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

    def receive_fds(self, max_bytes: int = CHUNK_BYTES, *, max_fds: int | None = None) -> Received:
        """Bytes, at least one, and the descriptors that came with them, at most `max_fds` (by default as many as the
        `accept_fds` that it was opened with).

        They were sent with the last message of which the bytes hold the beginning; bytes that were sent before it may
        come before, in one, and nothing that was sent after it follows (unix(7)).

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
        (sendfile(2)): faster, and whoever writes to the file before the peer has read changes what it reads. A
        program in which SIGPIPE kills gets copies all the same: sendfile(2) cannot be told not to send it.

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
