"""What datagrams that were sent and not read yet hold up: in the sender's buffer, and in the queue of who is to read.

Until a datagram is read it counts against SO_SNDBUF of the socket that sent it. If the reader is connected to that
socket, nothing else bounds its queue (unix_dgram_sendmsg): one who does not read may so take the whole buffer.

Facts only. How much of a buffer one reader may take is not known here.
"""

from __future__ import annotations

import fcntl
import socket
import termios

from ..model.address import Address
from .socket_table import entries_of, read_table


def unread_of_all(sock: socket.SocketType) -> int:
    """How much of its send buffer is taken by what nobody has read yet (SIOCOUTQ)."""
    answer = bytearray(4)  # filled in place: half the price of an immutable argument
    fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, answer, True)
    return int.from_bytes(answer, "little")


def send_buffer(sock: socket.SocketType) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def inode_of(name: Address) -> int | None:
    """The inode of the one datagram socket bound to `name`; None if there is not exactly one to be seen from here."""
    try:
        table = read_table()
    except OSError:
        return None
    inodes = [each.inode for each in table.sockets.values() if each.type == "dgram" and each.address == name]
    return inodes[0] if len(inodes) == 1 and table.is_complete else None


def has_read_all(inode: int) -> bool | None:
    """Is its queue empty? None: nobody can tell, for it is gone, or sock_diag(7) is refused.

    A queue whose first datagram is an empty one looks empty.
    """
    try:
        table = entries_of((inode,), may_read_all=False)
    except OSError:
        return None
    entry = table.sockets.get(inode) if table is not None else None
    return None if entry is None or entry.unread is None else entry.unread == 0
