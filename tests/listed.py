"""Rows of a list made by hand, and the names that come into them: for tests of what a row looks like."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from afunix.model.address import Address, AddressKind
from afunix.model.listing import End, Row, RowState
from afunix.model.socket_table import Owner, SocketEntry, TableState

PATH = Address.pathname("/run/app.sock")
UNNAMED = Address(AddressKind.UNNAMED)
USERS = {0: "root", 1000: "ana", 1001: "bob"}

ADDRESSES = st.one_of(
    st.binary(min_size=1).filter(lambda name: b"\0" not in name).map(Address.pathname),
    st.binary(max_size=107).map(Address.abstract),
    st.just(UNNAMED),
)
NAMES = st.one_of(
    st.text(min_size=1), st.binary(min_size=1).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
)


def entry(inode: int = 7, state: TableState = TableState.CONNECTED, **facts: Any) -> SocketEntry:
    return SocketEntry(inode, "stream", state, facts.pop("address", PATH), uid=1000, **facts)


APP = End(
    entry(state=TableState.LISTENING, queued=1, backlog=4096, waiting=(9,)), (Owner(412, 5, "app", 1000),)
)
ACCEPTED = End(entry(11, peer=12, unread=12_345), (Owner(412, 9, "app", 1000),))
CLIENT = End(entry(12, peer=11, unread=3, address=UNNAMED), (Owner(500, 3, "nc", 1001),))

LISTENER = Row(RowState.LISTENING, "stream", PATH, APP)
CONNECTION = Row(RowState.CONNECTED, "stream", PATH, ACCEPTED, CLIENT)
