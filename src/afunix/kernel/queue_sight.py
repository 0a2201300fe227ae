"""Who waits in the queue of a socket, seen without taking anybody out of it: for whoever does not accept, and others do.

Of a listener sock_diag(7) tells the clients; of a datagram socket the next datagram can be looked at (MSG_PEEK), which
leaves it there. Facts only: what has changed between two looks is `model.restarting`'s.
"""

from __future__ import annotations

import os
import socket

from ..model.restarting import Queue
from .listener import Listener
from .socket_table import entries_of

_LONGEST_DATAGRAM = 1 << 16
"""A longer one is known by its beginning."""


def look_at(listener: Listener) -> Queue | None:
    """Its queue now; None if the kernel does not tell, or a sandbox does not let us ask."""
    try:
        return _datagrams(listener) if listener.type == socket.SOCK_DGRAM else _clients(listener)
    except OSError:
        return None


def _clients(listener: Listener) -> Queue | None:
    inode = os.fstat(listener.fd).st_ino
    table = entries_of((inode,), may_read_all=False)
    entry = table.sockets.get(inode) if table is not None else None
    return None if entry is None or entry.queued is None else Queue(entry.queued, entry.waiting)


def _datagrams(listener: Listener) -> Queue:
    flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
    try:
        first, sender = listener.socket.recvfrom(_LONGEST_DATAGRAM, flags)
    except BlockingIOError:
        return Queue()
    return Queue(1, first=f"{sender!r} ".encode() + first)
