"""What the kernel's table says of one Unix socket, and which process has it open: values, no judgement.

`kernel.socket_table` fills them from sock_diag(7), or from /proc/net/unix where that is refused; a fact that a
source cannot tell is None. `model.listing` joins two sockets to a connection, `model.reachability` judges one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from .address import Address
from .escaping import escape


class TableState(Enum):
    """How a socket stands in the table: what sock_diag(7) calls udiag_state, by what it means for a Unix socket."""

    LISTENING = "listening"
    CONNECTED = "connected"
    UNCONNECTED = "unconnected"


class Shutdown(Enum):
    """Which directions of a socket are shut down, by itself or by its peer; the numbers are the kernel's."""

    NOTHING = 0
    RECEIVING = 1
    SENDING = 2
    BOTH = 3


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """The socket file that a socket was bound to: `device` is that of the superblock, which lstat(2) tells for most
    file systems only; `inode` has the lower 32 bits of its number.
    """

    device: int
    inode: int


class SocketEntry(NamedTuple):
    """One Unix socket of this network namespace.

    `inode` is its own in sockfs, what /proc/PID/fd shows as `socket:[inode]`; `peer` that of the socket it is
    connected to, 0 if that end has no process any more or none yet, None for a socket without a peer. `address` is
    the name that bind(2) got, possibly a relative path or one that was renamed since.

    For a listener, `queued` clients wait in the backlog, of which `backlog` is the limit (one more is let in), and
    `waiting` are the inodes of their sockets. For every other socket `unread` bytes wait in its receive queue (of
    a datagram socket: those of the first datagram), and `charged` is the memory, not the bytes, that what it has sent
    occupies until it is read. `uid` is that of the process that created it. A tuple, because there may be 100,000.
    """

    inode: int
    type: str
    state: TableState
    address: Address
    peer: int | None = None
    file: FileIdentity | None = None
    queued: int | None = None
    backlog: int | None = None
    waiting: tuple[int, ...] = ()
    unread: int | None = None
    charged: int | None = None
    shutdown: Shutdown | None = None
    uid: int | None = None

    @property
    def is_bound_itself(self) -> bool:
        """Has it a name by bind(2)? What a listener accepted bears the listener's name."""
        return self.type == "dgram" or self.state is not TableState.CONNECTED


class Owner(NamedTuple):
    """A process that has a socket open as descriptor `fd`. For display: it may be gone by now."""

    pid: int
    fd: int
    comm: str | None = None
    uid: int | None = None

    def describe(self) -> str:
        """`pid 412 (nginx)`; the name, which the process chose itself, is escaped."""
        return f"pid {self.pid}" if self.comm is None else f"pid {self.pid} ({escape(self.comm)})"


@dataclass(frozen=True, slots=True)
class SocketPath:
    """A socket file: `inode` as lstat(2) tells it, `device` that of its superblock (`kernel.mounts`)."""

    path: bytes
    device: int
    inode: int

    def is_of(self, entry: SocketEntry) -> bool:
        """Was `entry` bound to this file?"""
        file = entry.file
        return file is not None and file.inode == self.inode & 0xFFFFFFFF and file.device == self.device
