"""Tables of sockets made by hand, and the rows that they give: for tests of lists."""

from __future__ import annotations

from typing import Any

from afunix.model.address import Address
from afunix.model.listing import Row, RowState, join
from afunix.model.socket_table import Owner, SocketEntry, TableState

RUN = Address.pathname("/run/a.sock")
UNNAMED = Address.from_kernel(b"")


def entry(
    inode: int,
    state: TableState = TableState.CONNECTED,
    address: Address = UNNAMED,
    kind: str = "stream",
    **facts: Any,
) -> SocketEntry:
    return SocketEntry(inode, kind, state, address, **facts)


def listener(inode: int = 1, address: Address = RUN, **facts: Any) -> SocketEntry:
    return entry(inode, TableState.LISTENING, address, **facts)


def rows(*entries: SocketEntry, owners: dict[int, list[Owner]] | None = None) -> list[Row]:
    return join({e.inode: e for e in entries}, lambda inode: (owners or {}).get(inode, []))


def one(*entries: SocketEntry) -> Row:
    (row,) = [row for row in rows(*entries) if row.state is not RowState.LISTENING]
    return row
