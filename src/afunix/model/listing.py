"""A table of sockets becomes a list that people can read: a row for each listener, and one for each connection.

    the table has                                       the row is
    a socket that listens                               LISTENING, the server alone
    two that are each other's peer                      CONNECTED or HALF_CLOSED, both ends in it
    one whose peer has no inode, in a listener's queue  QUEUED: connected, and not yet accepted
    one whose peer has no inode, and that is shut down  HUNG_UP: the other end was closed
    one whose peer has no inode otherwise               QUEUED at a listener that the table does not have
    a datagram socket with a name, connected to nobody  BOUND
    a datagram socket that sends to another             CONNECTED, the receiver is the server
    a stream socket with a name that does not listen    BOUND
    any other                                           UNCONNECTED
    a socket file without one: nobody holds it          STALE
    a socket file without one: somebody answers         ELSEWHERE: in another network namespace
    a socket file without one: it may not be asked      UNKNOWN: one of these two

Which end is the server: the one that has a name; of two the one that bears a listener's, with its file. Where that
does not tell, it is the one that was made later, for a client makes its socket before it is accepted. A pair without
names has its ends in the order of their inodes. Pure; `tools.ls` gathers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from .address import Address, AddressKind
from .socket_table import Owner, Shutdown, SocketEntry, TableState


class RowState(Enum):
    """How it stands, in the word that is shown."""

    LISTENING = "listening"
    BOUND = "bound"
    CONNECTED = "connected"
    HALF_CLOSED = "half-closed"
    QUEUED = "queued"
    HUNG_UP = "hung-up"
    UNCONNECTED = "unconnected"
    STALE = "stale"
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


class FileState(Enum):
    """What became of the file that a listener was bound to, where it could be looked at.

    MOVED: it was found at the address that the row has now. OTHER_ROOT: it is there for its own process, in a mount
    namespace or below a root that are not ours.
    """

    THERE = "there"
    GONE = "removed"
    REPLACED = "replaced"
    MOVED = "renamed"
    OTHER_ROOT = "other root"


class End(NamedTuple):
    """One socket of a row, and the processes that have it open (empty: none that may be seen)."""

    entry: SocketEntry
    owners: tuple[Owner, ...] = ()


class Row(NamedTuple):
    """One line of the list. `address` is the server's name, resolved to an absolute path where that was possible.

    `file` is None for what has no file or whose file could not be looked at; `file_owner` the uid of a file without
    a socket, which has no ends.
    """

    state: RowState
    type: str | None
    address: Address
    server: End | None = None
    client: End | None = None
    file: FileState | None = None
    file_owner: int | None = None

    @property
    def ends(self) -> tuple[End, ...]:
        return tuple(end for end in (self.server, self.client) if end is not None)

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it the same row in a later list."""
        if self.server is None and self.client is None:
            return (self.address,)
        return (
            self.server.entry.inode if self.server else None,
            self.client.entry.inode if self.client else None,
        )

    @property
    def unread_by_server(self) -> int | None:
        """Bytes from the client that the server has not read yet; None: not known, or no connection."""
        return self.server.entry.unread if self.server else None

    @property
    def unread_by_client(self) -> int | None:
        return self.client.entry.unread if self.client else None


def join(sockets: Mapping[int, SocketEntry], owners_of: Callable[[int], Sequence[Owner]]) -> list[Row]:
    """The rows of a table, in its order. Each socket is in one row, a receiver of datagrams also in its senders'.

    A table is no snapshot: a peer that is not in it, or that has another peer by now, is not shown as an end.
    """
    return list(_Joiner(sockets, owners_of).rows())


class _Joiner:
    def __init__(
        self, sockets: Mapping[int, SocketEntry], owners_of: Callable[[int], Sequence[Owner]]
    ) -> None:
        self._sockets = sockets
        self._owners_of = owners_of
        listeners = [entry for entry in sockets.values() if entry.state is TableState.LISTENING]
        self._served = {(entry.type, entry.address, entry.file) for entry in listeners}
        self._queued_at = {inode: entry for entry in listeners for inode in entry.waiting}

    def rows(self) -> Iterable[Row]:
        shown: set[int] = set()
        for inode, entry in self._sockets.items():
            if inode in shown:
                continue
            peer = self._mutual_peer(entry)
            if peer is not None:
                shown.add(peer.inode)
                yield self._connection(entry, peer)
            else:
                yield self._single(entry)

    def _mutual_peer(self, entry: SocketEntry) -> SocketEntry | None:
        peer = self._sockets.get(entry.peer) if entry.peer else None
        return peer if peer is not None and peer.peer == entry.inode and peer.type == entry.type else None

    def _connection(self, one: SocketEntry, other: SocketEntry) -> Row:
        server, client = (one, other) if self._is_server(one, other) else (other, one)
        is_half_closed = one.shutdown in _ONE_WAY or other.shutdown in _ONE_WAY
        state = RowState.HALF_CLOSED if is_half_closed else RowState.CONNECTED
        return Row(state, one.type, server.address, self._end(server), self._end(client))

    def _is_server(self, one: SocketEntry, other: SocketEntry) -> bool:
        if _has_name(one) != _has_name(other):
            return _has_name(one)
        if self._is_served(one) != self._is_served(other):
            return self._is_served(one)
        return (one.inode > other.inode) is _has_name(one)

    def _is_served(self, entry: SocketEntry) -> bool:
        """Does it bear a listener's name?"""
        return (entry.type, entry.address, entry.file) in self._served

    def _single(self, entry: SocketEntry) -> Row:
        queued_at = self._queued_at.get(entry.inode)
        if queued_at is not None:
            return Row(RowState.QUEUED, entry.type, queued_at.address, self._end(queued_at), self._end(entry))
        if entry.state is TableState.LISTENING:
            return Row(RowState.LISTENING, entry.type, entry.address, self._end(entry))
        if entry.state is TableState.CONNECTED and not _is_receiver(entry):
            return self._one_sided(entry)
        state = RowState.BOUND if _has_name(entry) else RowState.UNCONNECTED
        return Row(state, entry.type, entry.address, self._end(entry))

    def _one_sided(self, entry: SocketEntry) -> Row:
        """Its peer is gone, hidden from the table, or a receiver of datagrams that has another peer or none."""
        receiver = self._sockets.get(entry.peer) if entry.peer and entry.type == "dgram" else None
        if receiver is not None:
            server = self._end(receiver._replace(unread=None))  # what waits there may be anybody's
            return Row(RowState.CONNECTED, entry.type, receiver.address, server, self._end(entry))
        if entry.peer == 0 and entry.type != "dgram" and entry.shutdown is not Shutdown.BOTH:
            return Row(RowState.QUEUED, entry.type, _UNNAMED, None, self._end(entry))
        state = RowState.HUNG_UP if entry.peer == 0 else RowState.CONNECTED
        if _has_name(entry):
            return Row(state, entry.type, entry.address, self._end(entry))
        return Row(state, entry.type, entry.address, None, self._end(entry))

    def _end(self, entry: SocketEntry) -> End:
        return End(entry, tuple(self._owners_of(entry.inode)))


_ONE_WAY = (Shutdown.RECEIVING, Shutdown.SENDING)
_UNNAMED = Address(AddressKind.UNNAMED)


def _has_name(entry: SocketEntry) -> bool:
    return entry.address.kind is not AddressKind.UNNAMED


def _is_receiver(entry: SocketEntry) -> bool:
    """A datagram socket counts as connected as soon as another one is connected to it (unix_dgram_connect)."""
    return entry.type == "dgram" and entry.peer is None and _has_name(entry)
