"""The other end of a stream under test: it reads and writes when it is told, and never waits. `stream_and_peer`
makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from socket import SocketType
from types import TracebackType

from ..kernel.ancillary import MAX_FDS
from ..kernel.channel import Channel
from ..kernel.descriptors import Descriptor, Received, numbers_of

_READ_BYTES = 64 * 1024


class Peer:
    """A client or a server that does what the test says, now: slow, rude, or gone.

    Owns its socket until `close`; use it with `with`. Needs no event loop.
    """

    def __init__(self, sock: SocketType) -> None:
        """Takes `sock`, a connected stream socket."""
        self._channel = Channel(sock)

    def fileno(self) -> int:
        """The descriptor, borrowed; -1 if it is closed."""
        return self._channel.fd

    def read(self, max_bytes: int = _READ_BYTES) -> bytes | None:
        """What is there, at most `max_bytes`: None if there is nothing yet, b"" at the end.

        Raises:
            ConnectionResetError: the stream was closed without reading all that was written.
        """
        return self._channel.try_receive(max_bytes)

    def read_fds(self, max_bytes: int = _READ_BYTES) -> Received | None:
        """The same, with the descriptors that came with it: use it with `with`."""
        taken = self._channel.try_receive_fds(max_bytes, MAX_FDS)
        return None if taken is None else Received(*taken)

    def write(self, data: bytes, fds: Sequence[Descriptor] = ()) -> int:
        """How many of `data`'s bytes there was room for; `fds` go with the first of them, and stay the caller's.

        Raises:
            BrokenPipeError: the stream receives no more. OSError: EPERM, it takes no descriptors (Linux 6.16).
        """
        if fds:
            return self._channel.try_send_fds(data, numbers_of(fds))
        return self._channel.try_send(data)

    def fill(self) -> int:
        """Write until there is no room, so that the stream's next sends wait; how many bytes that took."""
        before = self._channel.bytes_sent
        while self._channel.try_send(bytes(_READ_BYTES)):
            pass
        return self._channel.bytes_sent - before

    def end(self) -> None:
        """Half-close: the stream receives what was written, then the end. Reading goes on."""
        self._channel.end_sending()

    def stop_reading(self) -> None:
        """Take no more: the stream's sends fail with EPIPE. What came can still be read."""
        self._channel.end_receiving()

    def close(self) -> None:
        """Close; idempotent. With bytes unread, which the stream had sent, it gets ECONNRESET (unix(7))."""
        self._channel.close()

    def close_unread(self) -> None:
        """Close, while there are bytes that the stream has sent: it gets ECONNRESET.

        Raises:
            ValueError: there are none, so that it would be an orderly end. It stays open.
        """
        if not self._channel.queued():
            raise ValueError("nothing is unread here: the stream has to send something first")
        self.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        channel = self._channel
        where = "closed" if channel.is_closed else f"fd={channel.fd}"
        return f"<Peer {where} {channel.bytes_received} bytes read, {channel.bytes_sent} written>"
