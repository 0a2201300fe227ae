"""One connection as an `anyio.abc.UNIXSocketStream`, on asyncio and on trio. What is done is `stream_steps`'s.

What is awaited is `anyio_waiting`'s. Here are anyio's names for it, and ours for what anyio has not.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from io import IOBase
from socket import SOCK_NONBLOCK, SocketType
from typing import Any, cast

import anyio
from anyio.abc import SocketAttribute, UNIXSocketStream
from anyio.lowlevel import checkpoint

from ..kernel.adopting import adopt, channel_for
from ..kernel.ancillary import accept_fds_within
from ..kernel.channel import Channel
from ..kernel.descriptors import numbers_of
from ..kernel.guarding import guarded
from ..kernel.origin import caller
from ..kernel.receive_steps import CHUNK_BYTES
from ..kernel.steps import Data, Need, Steps, as_bytes_view, must_be_positive
from ..model.errors import BusyError
from ..model.events import Observer
from ..model.patience import must_be_limit
from ..streams.log_observer import default_observer
from .anyio_waiting import Waiting


class Stream(Waiting, UNIXSocketStream):
    """One connection, both ways, for anyio. `connect`, `attach`, `pair` and a Listener make them.

    It can be used wherever anyio's own can, and has what `afunix.Stream` has beyond: `receive_exactly`,
    `receive_until`, `lines`, `send_many`, `wait_hangup`, `unread`, `detach`, `peer`, `state`, `stats`.

    At most one task receives and one sends at a time; both may at once. Every `await` is a checkpoint. A receive that
    is cancelled loses nothing. A send that is cancelled before its first byte went is a no-op; later it cuts the
    sending, and the next send raises BrokenResourceError.

    What is awaited raises anyio's errors, `from` ours: EndOfStream, ClosedResourceError, BrokenResourceError,
    BusyResourceError. What anyio has no name for is ours as it is (TimedOutError after `send_timeout`,
    TruncatedError, DescriptorsNotAcceptedError), and so is all that a plain call raises.

    Owns its descriptor until it is closed or detached; use it with `async with`. One that is forgotten warns
    (ResourceWarning). Not thread-safe.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        accept_fds: int = 0,
        send_timeout: float | None = None,
        observer: Observer | None = None,
        opened_at: str | None = None,
    ) -> None:
        """Not for users: see `attach`."""
        sock = channel.socket
        self._names = sock.getsockname(), sock.getpeername()
        super().__init__(
            channel,
            *self._names,
            accept_fds=accept_fds,
            send_timeout=send_timeout,
            observer=observer,
            opened_at=opened_at,
        )
        _ = channel.peer  # so that it is known after close

    @classmethod
    async def from_socket(cls, sock_or_fd: socket.socket | int) -> Stream:
        """`attach`, under anyio's name for it."""
        await checkpoint()
        return attach(sock_or_fd)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """anyio's SocketAttribute: family, local_address, remote_address (as the kernel has them) and raw_socket."""
        return {
            SocketAttribute.family: lambda: socket.AF_UNIX,
            SocketAttribute.local_address: lambda: self._names[0],
            SocketAttribute.remote_address: lambda: self._names[1],
            SocketAttribute.raw_socket: lambda: self._raw_socket,
        }

    @property
    def _raw_socket(self) -> socket.socket:
        return cast(socket.socket, self._channel.socket)

    # Receiving

    async def receive(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        """What has come, at least one byte and at most `max_bytes` (and 16 MiB); waits for it.

        Raises:
            EndOfStream: the peer sends no more, and everything that it sent was received.
            BrokenResourceError: it closed without reading all that we sent; what it sent came first.
            BusyResourceError: another task is receiving; it goes on.
            ClosedResourceError: closed here, before or meanwhile.
        """
        return await self._receive_by(self._receive_steps(max_bytes))

    async def receive_exactly(self, count: int) -> bytes:
        """Exactly `count` bytes.

        Raises:
            EndOfStream: the stream ended before. What came is unread: `receive` has it. Otherwise as `receive`.
        """
        return await self._receive_by(self._receive_exactly_steps(count))

    async def receive_until(self, separator: bytes, max_bytes: int = CHUNK_BYTES) -> bytes:
        """Everything through the next `separator`, at most `max_bytes` with it.

        Raises:
            LineTooLongError: it is not within `max_bytes`; the bytes are unread.
            EndOfStream: the stream ended before it came; what there is, is unread. Otherwise as `receive`.
        """
        return await self._receive_by(self._receive_until_steps(separator, max_bytes))

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

    async def receive_fds(self, msglen: int, maxfds: int) -> tuple[bytes, list[int]]:
        """Bytes, at least one and at most `msglen`, and the descriptors that came with them.

        They are close-on-exec, and the caller owns them. A receive of any other kind closes what comes with its bytes.

        Raises:
            TruncatedError: more than `maxfds` came; those that were opened are closed, and the bytes are unread.
            AfunixError: the stream was opened without `accept_fds`. Otherwise as `receive`.
        """
        for number, name in ((msglen, "msglen"), (maxfds, "maxfds")):
            must_be_positive(number, name)
        received = await self._receive_by(self._receive_fds_steps(msglen, maxfds))
        return received.data, [fd.take() for fd in received.fds]

    # Sending

    async def send(self, item: Data) -> None:
        """All of `item`; waits for room as long as it takes, or `send_timeout` without a byte gone.

        When it returns the kernel has the bytes.

        Raises:
            BrokenResourceError: the peer receives no more, or an earlier send was cut.
            TimedOutError: `send_timeout` has passed without progress; its `bytes_sent` of these went.
            BusyResourceError: another task is sending; it goes on.
            ClosedResourceError: closed here, or `send_eof` was called.
        """
        await self._send_by(self._send_steps(item))

    async def send_many(self, buffers: Sequence[Data]) -> None:
        """All of `buffers` in their order, in one sendmsg(2) if there is room; otherwise as `send`."""
        await self._send_by(self._send_many_steps(buffers))

    async def send_fds(self, message: Data, fds: Collection[int | IOBase]) -> None:
        """All of `message`, at least one byte, and `fds`, 1 to 253, which arrive with its first byte.

        They are borrowed until it returns; then the caller may close them.

        Raises:
            DescriptorsNotAcceptedError: the peer takes none (EPERM, Linux 6.16). Before that its kernel drops them.
            OSError: EBADF (one is closed), ETOOMANYREFS (too many are under way). Otherwise as `send`.
        """
        numbers = numbers_of(fds)
        if not numbers:
            raise ValueError("fds is empty, expected at least one descriptor: send() is for bytes alone")
        await self._send_by(self._send_fds_steps(message, numbers))

    async def send_eof(self) -> None:
        """Half-close: the peer reads what was sent, then the end. Receiving goes on. Harmless if repeated.

        Raises:
            BusyResourceError: another task is sending. ClosedResourceError: closed here.
        """
        await self._send_by(self._end_sending_steps())

    def _end_sending_steps(self) -> Steps[None]:
        self._open_socket()
        if self._sending:
            raise BusyError(
                f"another task is sending on this {self._what}", hint="one at a time in each direction"
            )
        self._channel.end_sending()
        yield from ()

    async def wait_for_room(self) -> None:
        """Return once a send would find room for a part of its bytes, or would fail. Otherwise as `send`."""
        await self._send_by(self._room_steps())

    def _room_steps(self) -> Steps[None]:
        self._begin_sending()
        try:
            yield Need.WRITABLE
            self._open_socket()
        finally:
            self._sending = False


def attach(
    sock: socket.socket | int,
    *,
    unread: bytes = b"",
    accept_fds: int = 0,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> Stream:
    """A Stream on a connected Unix stream socket that somebody else made. `unread` is received before what comes.

    It owns the descriptor from then on: a number is not the caller's to close any more, and a socket object is empty
    as after its `detach`. The blocking flag, which others may share, stays as it is. What is refused stays the
    caller's, unchanged and open. `observer` as for `connect`.

    Raises:
        TypeError: neither a socket nor a number, or `unread` is no bytes. ValueError: a number that cannot be meant.
        ClosedError: it is closed. NotASocketError: another kind of file. WrongTypeError: another type of Unix socket.
        AddressError: a socket of another family, a listener, or one without a peer. It is a ValueError.
    """
    must_be_sensible(accept_fds, send_timeout)
    observer = observer_for(observer)
    kept = bytes(as_bytes_view(unread, "unread"))
    stream = stream_on(
        adopt(sock), accept_fds, send_timeout, is_ours=False, observer=observer, opened_at=caller()
    )
    stream.unread(kept)
    return stream


def observer_for(given: Observer | None) -> Observer | None:
    """Whom to tell when a user gave `given` as `observer=`: `logging` if it is None, and on at debug level.

    Raises:
        TypeError: it cannot be called.
    """
    return default_observer() if given is None else guarded(given)


def stream_on(
    sock: SocketType,
    accept_fds: int = 0,
    send_timeout: float | None = None,
    *,
    observer: Observer | None = None,
    opened_at: str | None = None,
    connection: int = 0,
    is_ours: bool = True,
) -> Stream:
    """A Stream on `sock`, which is its own from the call on: on failure it is closed. `is_ours`: it was made for it."""
    try:
        channel = channel_for(_plain(sock), accept_fds, is_ours=is_ours, observer=observer)
        channel.connection = connection
        return Stream(
            channel,
            accept_fds=accept_fds,
            send_timeout=send_timeout,
            observer=observer,
            opened_at=opened_at,
        )
    except BaseException:
        sock.close()
        raise


def _plain(sock: SocketType) -> socket.socket:
    """The same as a `socket.socket`, which is what anyio promises as `raw_socket`. The descriptor's flags stay."""
    if isinstance(sock, socket.socket):
        return sock
    plain = socket.socket(sock.family, sock.type | SOCK_NONBLOCK, sock.proto, fileno=sock.fileno())
    sock.detach()
    return plain


def must_be_sensible(accept_fds: int, send_timeout: float | None) -> None:
    """Refuse what no stream can have.

    Raises:
        TypeError, ValueError: saying what was found.
    """
    accept_fds_within(accept_fds)
    must_be_limit(send_timeout, "send_timeout")


class _Lines:
    """The lines of a stream; see `Stream.lines`."""

    def __init__(self, stream: Stream, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._stream._receive_by(self._stream._line_steps(self._max_bytes))
        except anyio.EndOfStream:
            raise StopAsyncIteration from None
