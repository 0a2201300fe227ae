"""`demo --inside`: what the kernel's table says of a socket of this process, right after a call on it, as lines.

Asked in the process that made the call, of sock_diag(7) (`kernel.socket_table`); the words are those of `held`. Others
go on meanwhile: a line is what was true a moment after the call, and so is what it says about the other end.
"""

from __future__ import annotations

import os

from ...kernel.socket_table import entry_of, read_table
from ...model import events
from ...model.socket_table import Shutdown, SocketEntry, TableState
from .held import OwnShutdowns, accept_queue, describe, receive_queue

_WAYS = {
    events.Direction.RECEIVING: Shutdown.RECEIVING,
    events.Direction.SENDING: Shutdown.SENDING,
}


class Looker:
    """Looks after each call of one process, and remembers what that has shut down."""

    def __init__(self) -> None:
        self._own = OwnShutdowns()

    def look(self, event: events.Event) -> tuple[str, ...]:
        """About the socket of `event`, and for accept about the listener, too. Empty where nothing can be found out."""
        if isinstance(event, events.Closed | events.Unlinked):
            return ()  # the one is gone, and the other is about a name in a directory
        fds = [event.listener, event.fd] if isinstance(event, events.Accepted) else [event.fd]
        try:
            if isinstance(event, events.HalfClosed):
                self._own.add(os.fstat(event.fd).st_ino, _WAYS[event.direction])
            return tuple(line for fd in fds for line in self._lines(fd))
        except OSError:
            return ()  # neither source can be read

    def _lines(self, fd: int) -> list[str]:
        entry = entry_of(os.fstat(fd).st_ino)
        if entry is None:
            return []
        first, *others = describe(entry, self._own.of(entry.inode))
        if entry.state is not TableState.CONNECTED or entry.unread is None:
            return [", ".join([first, *others])]
        own_queue, *ends = others
        return [f"{first}, {own_queue}", *_beyond(entry), *ends]


def _beyond(entry: SocketEntry) -> list[str]:
    """What is held at the other end, which is another's: bytes that wait there, or the client itself that does."""
    peer = entry_of(entry.peer) if entry.peer else None
    if peer is not None:
        return [f"in the peer's {receive_queue(peer)}"] if peer.unread else []
    return [f"waits in the listener's queue: {accept_queue(other)}" for other in _listeners_with(entry)]


def _listeners_with(entry: SocketEntry) -> list[SocketEntry]:
    """The listener on which a client waits that nobody has accepted yet: the table has no row for the other end."""
    return [other for other in read_table().sockets.values() if entry.inode in other.waiting]
