"""What a client may find instead of a server that answers: a queue that is full, a socket file that nobody serves."""

from __future__ import annotations

import errno
import os
from socket import AF_UNIX, SOCK_STREAM, SocketType, socket
from types import TracebackType

from ..kernel import dial
from ..kernel.listener import Listener
from ..kernel.pathname import kernel_name
from ..model.address import Address
from ..streams.listening import Written


def stale_socket_file(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> None:
    """Leave a socket file at `path` as a server does that was killed: connecting to it is refused (ECONNREFUSED).

    Raises:
        AddressError: it is no path. OSError: as bind(2): EADDRINUSE if something is there.
    """
    with socket(AF_UNIX, SOCK_STREAM) as sock, kernel_name(Address.of(path)) as name:
        sock.bind(name)


class FullBacklog:
    """A server that accepts nobody, and whose queue is full: who connects now waits. `full_backlog` makes it.

    Owns its sockets and its path; `with` closes and removes them, which is a reset for whoever is in the queue.
    """

    def __init__(self, listener: Listener) -> None:
        """Not for users: see `full_backlog`."""
        self._listener = listener
        self._others: list[SocketType] = []

    def fill(self) -> None:
        """Connect as long as there is room."""
        while True:
            client = dial.open_socket("stream")
            self._others.append(client)
            number = dial.try_connect(client, self._listener.address)
            if number == errno.EAGAIN:
                self._others.pop().close()
                return
            if number:
                raise OSError(number, os.strerror(number))

    def make_room(self) -> None:
        """Accept the next from the queue, whose place is free then; it stays connected."""
        self._others.append(self._listener.accept())

    def close(self) -> None:
        """Idempotent."""
        self._listener.close()
        for sock in self._others:
            sock.close()

    def __enter__(self) -> FullBacklog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def full_backlog(address: Written, *, backlog: int = 0) -> FullBacklog:
    """Listen at `address` with room for `backlog` and one more, as listen(2) has it on Linux, and fill it; the caller
    owns what it returns.

    Raises:
        As `afunix.listen`. OSError: out of descriptors.
    """
    full = FullBacklog(Listener.open(Address.of(address), backlog=backlog))
    try:
        full.fill()
    except BaseException:
        full.close()
        raise
    return full
