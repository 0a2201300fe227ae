"""`demo --inside`: what the kernel's table says of a socket of this process, right after a call on it, as lines.

Asked in the process that made the call, of sock_diag(7) (`kernel.socket_table`). Others go on meanwhile: a line is
what was true a moment after the call, and so is what it says about the other end.
"""

from __future__ import annotations

import os

from ...kernel.socket_table import entry_of, read_table
from ...model import events
from ...model.escaping import escape
from ...model.socket_table import Shutdown, SocketEntry, TableState

NOT_TOLD = "the kernel tells no more: sock_diag is refused here"

_SHUTDOWNS = {
    Shutdown.RECEIVING: "shut down for receiving",
    Shutdown.SENDING: "shut down for sending",
    Shutdown.BOTH: "shut down both ways",
}


def look(event: events.Event) -> tuple[str, ...]:
    """About the socket of `event`, and for accept about the listener, too. Empty where nothing can be found out."""
    if isinstance(event, events.Closed):
        return ()
    fds = [event.listener, event.fd] if isinstance(event, events.Accepted) else [event.fd]
    try:
        return tuple(line for fd in fds for line in _lines(fd))
    except OSError:
        return ()  # neither source can be read


def _lines(fd: int) -> list[str]:
    entry = entry_of(os.fstat(fd).st_ino)
    if entry is None:
        return []
    if entry.state is TableState.LISTENING:
        return [_accept_queue(entry)]
    if entry.state is TableState.UNCONNECTED:
        return [f"inode {entry.inode}, {_unconnected(entry)}"]
    if entry.peer is None:
        return [f"inode {entry.inode}", NOT_TOLD]
    return _connected(entry)


def _accept_queue(listener: SocketEntry) -> str:
    if listener.queued is None:
        return NOT_TOLD
    return f"accept queue {listener.queued} of {listener.backlog}"


def _unconnected(entry: SocketEntry) -> str:
    return (
        f"named {escape(str(entry.address))}, not connected"
        if entry.address.name
        else "without a name, not connected"
    )


def _connected(entry: SocketEntry) -> list[str]:
    peer = entry_of(entry.peer) if entry.peer else None
    queues = [] if peer else _accept_queues_with(entry)
    other = str(peer.inode) if peer else "not accepted yet" if queues else "closed"
    lines = [f"inode {entry.inode} ⇄ {other}, receive queue {_bytes(entry.unread)}"]
    if peer is not None and peer.unread:
        lines.append(f"in the peer's receive queue {_bytes(peer.unread)}")
    if entry.shutdown in _SHUTDOWNS:
        lines.append(_SHUTDOWNS[entry.shutdown])
    return lines + [f"waits in the listener's queue: {_accept_queue(listener)}" for listener in queues]


def _accept_queues_with(entry: SocketEntry) -> list[SocketEntry]:
    """The listener on which a client waits that nobody has accepted yet: the table has no row for the other end."""
    return [other for other in read_table().sockets.values() if entry.inode in other.waiting]


def _bytes(count: int | None) -> str:
    return "1 byte" if count == 1 else f"{count or 0} bytes"
