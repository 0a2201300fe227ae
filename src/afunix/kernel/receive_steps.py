"""What a stream receives, as steps: bytes, lines, files, descriptors. The counterpart of `send_steps`.

Bytes leave the kernel only in the step that delivers them, or are put back before anybody else can receive: an
operation that is interrupted, or that meets the end too early, leaves unread what it had collected.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..model.errors import EndOfStream, LineTooLongError
from .descriptors import Received
from .endpoint import Endpoint
from .steps import FILE_CHUNK_BYTES, Need, Steps, as_bytes_view, must_be_count, must_be_positive

CHUNK_BYTES = 64 * 1024
"""As much as one receive takes at most: larger blocks come from another, slower allocator."""

MOST_BYTES = 16 * 1024 * 1024
"""So many in one receive, whoever asks for more: room for all that may come is made before it is known how much did."""

_TURN_EVERY = 64
"""So many receives without a wait, and others get a turn."""


class ReceiveSteps(Endpoint):
    """The receiving side of a stream as steps; see the faces for what each promises."""

    __slots__ = ()

    def _take(self, max_bytes: int) -> bytes | None:
        """One attempt: bytes, or None if there are none yet.

        Raises:
            EndOfStream, BrokenStreamError, ClosedError: there will be none.
        """
        channel = self._channel
        if channel.fd < 0:
            raise self._closed_error()
        if channel.receive_ended and not channel.bytes_put_back:
            raise self._ended_error()
        try:
            data = channel.try_receive(max_bytes)
        except OSError as error:
            raise self._receive_failed(error) from None
        if data:
            self._is_drained = len(data) < max_bytes
        elif data is not None:
            raise self._ended_error()
        return data

    def _next_chunk(self, max_bytes: int) -> Steps[bytes]:
        while True:
            data = self._take(max_bytes)
            if data is not None:
                return data
            yield Need.READABLE

    def _receive_steps(self, max_bytes: int) -> Steps[bytes]:
        max_bytes = size_within(max_bytes)
        self._begin_receiving()
        try:
            return (yield from self._next_chunk(max_bytes))
        finally:
            self._receiving = False

    def _receive_into_steps(self, buffer: bytearray | memoryview) -> Steps[int]:
        with as_bytes_view(buffer) as view:
            if view.readonly:
                raise TypeError(f"expected a buffer that can be written to, found {type(buffer).__name__}")
            must_be_positive(len(view), "the buffer's length")
            self._begin_receiving()
            try:
                while True:
                    count = self._take_into(view)
                    if count is not None:
                        return count
                    yield Need.READABLE
            finally:
                self._receiving = False

    def _take_into(self, view: memoryview) -> int | None:
        channel = self._channel
        if channel.fd < 0:
            raise self._closed_error()
        if channel.receive_ended and not channel.bytes_put_back:
            raise self._ended_error()
        try:
            count = channel.try_receive_into(view)
        except OSError as error:
            raise self._receive_failed(error) from None
        if count == 0:
            raise self._ended_error()
        if count is not None:
            self._is_drained = count < len(view)
        return count

    def _receive_exactly_steps(self, count: int) -> Steps[bytes]:
        if count == 0:
            self._open_socket()
            return b""
        must_be_positive(count, "count")
        self._begin_receiving()
        parts: list[bytes] = []
        missing = count
        try:
            while missing:
                part = yield from self._next_chunk(min(missing, CHUNK_BYTES))
                parts.append(part)
                missing -= len(part)
                if len(parts) % _TURN_EVERY == 0:
                    yield Need.TURN
        except EndOfStream as end:
            self._put_back(parts)
            raise EndOfStream(
                f"the peer of this stream sends no more after {count - missing} of {count} bytes",
                hint="receive() has what came" if parts else None,
            ) from end
        except BaseException:
            self._put_back(parts)
            raise
        finally:
            self._receiving = False
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _put_back(self, parts: Iterable[bytes]) -> None:
        self._channel.unread(b"".join(parts))

    def unread(self, data: bytes) -> None:
        """Put `data` back: the next receive begins with it, then comes what the socket holds.

        Raises:
            BusyError: a task is receiving: it would not see them.
            ClosedError: the stream is closed or detached.
        """
        self._must_be_receivable()
        self._channel.unread(data if type(data) is bytes else bytes(as_bytes_view(data)))

    def _receive_until_steps(self, separator: bytes, max_bytes: int) -> Steps[bytes]:
        must_be_positive(max_bytes, "max_bytes")
        if not isinstance(separator, (bytes, bytearray)):
            raise TypeError(f"separator is {type(separator).__name__}, expected bytes, such as b'\\n'")
        must_be_positive(len(separator), "the separator's length")
        self._begin_receiving()
        try:
            turns = 0
            searched = 0
            while True:
                piece = self._take_until(separator, max_bytes, searched)
                if piece is not None:
                    return piece
                searched = max(0, self._channel.bytes_put_back - len(separator) + 1)
                self._channel.append_unread((yield from self._beyond_put_back(separator, max_bytes)))
                turns += 1
                if turns % _TURN_EVERY == 0:
                    yield Need.TURN
        finally:
            self._receiving = False

    def _take_until(self, separator: bytes, max_bytes: int, searched: int = 0) -> bytes | None:
        """What is at hand, through `separator`; None if it is not there yet.

        Raises:
            LineTooLongError: and will not be within `max_bytes`. Nothing was taken.
        """
        channel = self._channel
        found = channel.find_unread(separator, searched)
        length = found + len(separator)
        if found >= 0 and length <= max_bytes:
            return channel.try_receive(length)
        if found >= 0 or channel.bytes_put_back >= max_bytes:
            raise LineTooLongError(
                f"no {separator!r} within {max_bytes} bytes",
                hint="the bytes are unread: receive() has them, or ask for more with max_bytes",
            )
        return None

    def _beyond_put_back(self, separator: bytes, max_bytes: int) -> Steps[bytes]:
        """Bytes from the socket itself, which come behind those that were put back.

        With descriptors among them nothing is read ahead: they would be lost with the bytes with which they came.
        """
        channel = self._channel
        while True:
            before = channel.end_of_unread(len(separator) - 1) if self.accept_fds else b""
            limit = max(1, max_bytes - channel.bytes_put_back)
            held, channel.put_back = channel.put_back, None
            try:
                if self.accept_fds:
                    data = self._take_no_further(before, separator, min(limit, CHUNK_BYTES))
                else:
                    data = self._take(CHUNK_BYTES)
            except EndOfStream as end:
                if held is None:
                    raise
                raise EndOfStream(
                    f"the peer of this stream sends no more; {len(held)} bytes are left, without a separator",
                    hint="receive() has them",
                ) from end
            finally:
                channel.put_back = held
            if data is not None:
                return data
            yield Need.READABLE

    def _take_no_further(self, before: bytes, separator: bytes, max_bytes: int) -> bytes | None:
        """As `_take`, but nothing behind the first `separator`, of which the beginning may be the end of `before`."""
        self._open_socket()
        if not self._channel.receive_ended:
            try:
                queued = self._channel.try_look(max_bytes)
            except OSError as error:
                raise self._receive_failed(error) from None
            if queued is None:
                return None
            found = (before + queued).find(separator)
            # The end is taken, too. Pages that the peer can still change are looked at again once they are ours.
            max_bytes = found + len(separator) - len(before) if found >= 0 else len(queued) or 1
        return self._take(max_bytes)

    def _line_steps(self, max_bytes: int) -> Steps[bytes]:
        """The next line with its newline, or the unfinished last one."""
        try:
            return (yield from self._receive_until_steps(b"\n", max_bytes))
        except EndOfStream:
            if not self._channel.bytes_put_back:
                raise
            return self._take(max_bytes) or b""

    def _receive_file_steps(self, fd: int, count: int | None) -> Steps[int]:
        if count is not None:
            must_be_count(count, "count")
        self._begin_receiving()
        written = 0
        try:
            while count is None or written < count:
                if written:
                    yield Need.TURN
                wanted = FILE_CHUNK_BYTES if count is None else min(FILE_CHUNK_BYTES, count - written)
                try:
                    data = yield from self._next_chunk(wanted)
                except EndOfStream as end:
                    if count is None:
                        break
                    raise EndOfStream(
                        f"the peer of this stream sends no more after {written} of {count} bytes",
                        hint="those are in the file",
                    ) from end
                self._write_out(fd, data)
                written += len(data)
            return written
        finally:
            self._receiving = False

    def _write_out(self, fd: int, data: bytes) -> None:
        """All of `data` into a file; what it refuses is put back."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(fd, view) :]
        except BaseException:
            self._channel.unread(bytes(view))
            raise

    def _receive_fds_now(self, max_bytes: int, max_fds: int | None) -> Received | None:
        """What is at hand already."""
        max_bytes = size_within(max_bytes)
        self._must_be_receivable()
        return self._take_fds(max_bytes, self._fds_limit(max_fds))

    def _receive_fds_steps(self, max_bytes: int, max_fds: int | None) -> Steps[Received]:
        max_bytes = size_within(max_bytes)
        limit = self._fds_limit(max_fds)
        self._begin_receiving()
        try:
            while True:
                received = self._take_fds(max_bytes, limit)
                if received is not None:
                    return received
                yield Need.READABLE
        finally:
            self._receiving = False

    def _take_fds(self, max_bytes: int, limit: int) -> Received | None:
        channel = self._channel
        self._open_socket()
        if channel.receive_ended and not channel.bytes_put_back:
            raise self._ended_error()
        try:
            taken = channel.try_receive_fds(max_bytes, limit)
        except OSError as error:
            raise self._receive_failed(error) from None
        if taken is None:
            return None
        data, fds = taken
        if not data and not fds:
            raise self._ended_error()
        return Received(data, fds)


def size_within(max_bytes: int) -> int:
    """How many bytes one receive takes at most when `max_bytes` were asked for.

    Raises:
        TypeError, ValueError: it is no number, or less than 1.
    """
    must_be_positive(max_bytes, "max_bytes")
    return min(max_bytes, MOST_BYTES)
