"""`Stream`: one connection in an asyncio task. What is done is `kernel.stream_steps`'s; here it is waited for.

`receive` and `send`, on which every conversation spends its time, are written out; everything else drives the steps.
How a task waits, and how a stream ends, is `waiting`'s.
"""

from __future__ import annotations

import socket
from asyncio import _get_running_loop
from collections.abc import AsyncIterator, Sequence
from typing import IO

from ..kernel.descriptors import Descriptor, Received, numbers_of
from ..kernel.receive_steps import CHUNK_BYTES, size_within
from ..kernel.steps import Data, must_be_positive
from ..kernel.stream_steps import StreamSteps
from ..model.errors import EndOfStream
from .connection import Connection
from .hub import READABLE
from .waiting import TURN_EVERY


class Stream(Connection, StreamSteps):
    """One connection, both ways. `connect`, `attach`, `pair`, a Listener and a Server make them.

    It belongs to the event loop in which it was made, until `detach`. At most one task receives and one sends at a
    time; both may at once. Every call can be bounded by `asyncio.timeout`. A receive that is cancelled loses nothing:
    bytes leave the kernel only in the step that returns them. A send that is cancelled before its first byte went is a
    no-op; later it cuts the sending, and the next send raises BrokenStreamError.

    Owns its descriptor until `close` or `detach`; use it with `async with`. One that is forgotten warns
    (ResourceWarning).
    """

    __slots__ = ()

    # Receiving

    async def receive(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        """What has come, at least one byte and at most `max_bytes` (and 16 MiB); waits for it.

        Raises:
            EndOfStream: the peer sends no more, and everything that it sent was received.
            BrokenStreamError: it closed without reading all that we sent (ECONNRESET); what it sent came first.
            BusyError: another task is receiving; it goes on.
            ClosedError: closed here, before or meanwhile.
        """
        if max_bytes is not CHUNK_BYTES:
            max_bytes = size_within(max_bytes)
        watch = self._watch
        if watch is None or not self._is_drained or self._receiving or self._channel.put_back is not None:
            if self._turns >= TURN_EVERY:  # now, not after: if it is cancelled nothing was received
                await self._give_turn()
            data = self._take_now(max_bytes)
            if data is not None:
                return data
            watch = self._watch or self._join_hub()
        reader = watch.reader
        if reader.callback is not None:
            raise self._busy_receiving()
        self._turns = 0
        while True:
            if not watch.mask & READABLE:
                self._arm(watch, READABLE)
            try:
                await reader
            except RuntimeError:
                raise self._wrong_loop() from None
            data = self._take(max_bytes)
            if data is not None:
                return data

    def _take_now(self, max_bytes: int) -> bytes | None:
        """What is at hand already."""
        if _get_running_loop() is not self._loop:
            raise self._wrong_loop()
        if self._receiving or self._is_reader_waiting():
            raise self._busy_receiving()
        self._turns += 1
        return self._take(max_bytes)

    async def receive_into(self, buffer: bytearray | memoryview) -> int:
        """Like `receive`, into `buffer`, which must not be empty: how many bytes there are now at its front."""
        return await self._run(self._receive_into_steps(buffer))

    async def receive_exactly(self, count: int) -> bytes:
        """Exactly `count` bytes.

        Raises:
            EndOfStream: the stream ended before. What came is unread: `receive` has it.
            Otherwise as `receive`, and what came is unread, too.
        """
        return await self._run(self._receive_exactly_steps(count))

    async def receive_until(self, separator: bytes, max_bytes: int = CHUNK_BYTES) -> bytes:
        """Everything through the next `separator`, at most `max_bytes` with it.

        Raises:
            LineTooLongError: it is not within `max_bytes`; the bytes are unread.
            EndOfStream: the stream ended before it came; what there is, is unread: `receive` has it.
            Otherwise as `receive`.
        """
        return await self._run(self._receive_until_steps(separator, max_bytes))

    def lines(self, max_bytes: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The lines one by one, each with its newline (0x0A); the last one as it is if the peer did not finish it.

        `async for` ends at the end of the stream. It can be left at any line: the others are still there.

        Raises:
            LineTooLongError: a line is longer than `max_bytes`, its newline included, which an unfinished last line is
                counted with; its bytes are unread.
            Otherwise as `receive`.
        """
        must_be_positive(max_bytes, "max_bytes")
        return _Lines(self, max_bytes)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.receive()
        except EndOfStream:
            raise StopAsyncIteration from None

    def unread(self, data: bytes) -> None:
        """Put `data` back: the next receive begins with it, then comes what the socket holds.

        Raises:
            BusyError: a task is receiving: it would not see them.
            ClosedError: the stream is closed or detached.
            WrongLoopError: from another thread than the loop's.
        """
        self._must_be_here()
        super().unread(data)

    async def receive_file(self, file: Descriptor, count: int | None = None) -> int:
        """Write what comes into `file` at its position: `count` bytes, or all up to the end. How many there were.

        Raises:
            EndOfStream: the stream ended before `count`; what came is in the file.
            OSError: `file` refused bytes; those are unread. Otherwise as `receive`.
        """
        return await self._run(self._receive_file_steps(_fileno(file), count))

    async def receive_fds(self, max_bytes: int = CHUNK_BYTES, *, max_fds: int | None = None) -> Received:
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
        self._must_fit()
        await self._take_turns()
        received = self._receive_fds_now(max_bytes, max_fds)
        if received is None:
            received = await self._run(self._receive_fds_steps(max_bytes, max_fds))
        return received

    # Sending

    async def send(self, data: Data) -> None:
        """All of `data`; waits for room as long as it takes, or `send_timeout` without a byte gone.

        When it returns the kernel has the bytes. Nothing is an empty send.

        Raises:
            BrokenStreamError: the peer receives no more (EPIPE), or an earlier send was cut; `bytes_sent` of these went.
            TimedOutError: `send_timeout` has passed without progress; `bytes_sent` of these went.
            BusyError: another task is sending; it goes on.
            ClosedError: closed here, or `send_eof` was called.
        """
        channel = self._channel
        if _get_running_loop() is not self._loop:
            raise self._wrong_loop()
        if self._turns >= TURN_EVERY:  # now, not after: if it is cancelled nothing was sent
            await self._give_turn()
        if self._sending or channel.send_ended or channel.fd < 0 or self._cut is not None:
            self._must_be_sendable()
        if data.__class__ is not bytes:
            await self._run(self._send_steps(data))
            return
        try:
            sent = channel.try_send(data)
        except OSError as error:
            raise self._send_failed(error, 0) from None
        self._turns += 1
        if sent < len(data):
            await self._go_on(self._send_steps(data, sent))

    async def send_many(self, buffers: Sequence[Data]) -> None:
        """All of `buffers` in their order, in one sendmsg(2) if there is room; otherwise as `send`."""
        await self._run(self._send_many_steps(buffers))

    async def send_file(
        self, file: Descriptor, *, offset: int = 0, count: int | None = None, zero_copy: bool = False
    ) -> int:
        """The bytes of a regular file from `offset` on, `count` of them or all: how many went.

        They are copied, so that what was sent does not change with the file. With `zero_copy` its pages go
        (sendfile(2)): faster, and whoever writes to the file before the peer has read changes what it reads. Reading
        from a disk holds the loop up. A program in which SIGPIPE kills gets copies
        all the same: sendfile(2) cannot be told not to send it.

        Raises:
            OSError: `file` cannot be read there (ESPIPE: it is a pipe). Otherwise as `send`.
        """
        return await self._run(self._send_file_steps(_fileno(file), offset, count, zero_copy))

    async def send_fds(self, data: Data, fds: Sequence[Descriptor]) -> None:
        """All of `data`, at least one byte, and `fds`, at most 253, which arrive with its first byte.

        They are borrowed until it returns; then the caller may close them.

        Raises:
            DescriptorsNotAcceptedError: the peer takes none (EPERM, Linux 6.16). Before that its kernel drops them.
            OSError: EBADF (one is closed), ETOOMANYREFS (too many are under way). Otherwise as `send`.
        """
        self._must_fit()
        await self._take_turns()
        numbers = numbers_of(fds)
        sent = self._send_fds_now(data, numbers)
        if sent < memoryview(data).nbytes:
            await self._go_on(self._send_fds_rest(data, numbers, sent))

    # Ends

    def detach(self) -> tuple[socket.socket, bytes]:
        """Give the socket away, with the bytes that were put back or read ahead: the caller owns both from now on.

        `attach(sock, unread=…)` takes them up again, in another loop, thread or process. A socket that we made comes
        as a new one does: it blocks, without a timeout. Of one that was given to us O_NONBLOCK is as it was.

        Raises:
            BusyError: a task is using the stream.
            ClosedError: it is closed.
        """
        return self._detach()


class _Lines:
    """The lines of a stream; see `Stream.lines`."""

    __slots__ = ("_max_bytes", "_stream")

    def __init__(self, stream: Stream, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> bytes:
        stream = self._stream
        if stream._turns < TURN_EVERY and not stream._receiving and not stream.is_closed:
            if _get_running_loop() is not stream._loop:
                raise stream._wrong_loop()
            line = stream._take_until(b"\n", self._max_bytes)  # nobody waits while there are bytes at hand
            if line is not None:
                stream._turns += 1
                return line
        try:
            return await stream._run(stream._line_steps(self._max_bytes))
        except EndOfStream:
            raise StopAsyncIteration from None


def _fileno(file: Descriptor | IO[bytes]) -> int:
    """The number of a file, whose own buffer is written out first."""
    from ..kernel.descriptors import number_of

    if hasattr(file, "flush"):
        file.flush()
    return number_of(file)
