"""From a table to rows: which two sockets are one connection, which end serves, what each state means."""

from __future__ import annotations

from typing import Any

import pytest

from afunix.model import listing
from afunix.model.address import Address
from afunix.model.listing import Criteria, Row, RowState, choose, difference, group, join, sort
from afunix.model.socket_table import FileIdentity, Owner, Shutdown, SocketEntry, TableState

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


def inodes(row: Row) -> tuple[int | None, int | None]:
    return (
        row.server.entry.inode if row.server else None,
        row.client.entry.inode if row.client else None,
    )


def test_a_connection_is_one_row_with_both_ends() -> None:
    row = one(listener(), entry(5, peer=4, address=RUN, unread=7), entry(4, peer=5, unread=2))
    assert (row.state, row.address, inodes(row)) == (RowState.CONNECTED, RUN, (5, 4))
    assert (row.unread_by_server, row.unread_by_client) == (7, 2)


def test_a_client_with_a_name_of_its_own_is_not_the_server() -> None:
    name = Address.pathname("/run/client.sock")
    assert inodes(one(listener(), entry(4, peer=5, address=name), entry(5, peer=4, address=RUN))) == (5, 4)


def test_the_end_with_a_name_serves_also_when_its_listener_is_gone() -> None:
    assert inodes(one(entry(4, peer=5), entry(5, peer=4, address=RUN))) == (5, 4)


def test_a_pair_without_names_has_its_ends_in_order() -> None:
    assert inodes(one(entry(9, peer=8), entry(8, peer=9))) == (8, 9)


def test_who_waits_in_the_backlog_is_queued_at_that_listener() -> None:
    row = one(listener(waiting=(4,)), entry(4, peer=0))
    assert (row.state, row.address, inodes(row)) == (RowState.QUEUED, RUN, (1, 4))


@pytest.mark.parametrize("address, ends", [(UNNAMED, (None, 4)), (RUN, (4, None))])
def test_whose_other_end_was_closed_has_hung_up(
    address: Address, ends: tuple[int | None, int | None]
) -> None:
    row = one(listener(), entry(4, peer=0, address=address))
    assert (row.state, inodes(row)) == (RowState.HUNG_UP, ends)


def test_a_direction_that_is_shut_down_makes_it_half_closed() -> None:
    row = one(entry(4, peer=5, shutdown=Shutdown.SENDING), entry(5, peer=4, shutdown=Shutdown.RECEIVING))
    assert row.state is RowState.HALF_CLOSED


def test_a_peer_that_has_another_peer_by_now_is_not_shown_as_its_end() -> None:
    found = rows(entry(4, peer=5), entry(5, peer=6), entry(6, peer=5))
    assert [inodes(row) for row in found] == [(None, 4), (5, 6)]


def test_a_peer_that_is_not_in_the_table_is_left_out() -> None:
    assert (one(entry(4, peer=99)).state, inodes(one(entry(4, peer=99)))) == (RowState.CONNECTED, (None, 4))


def test_senders_of_datagrams_have_a_row_each_beside_the_receivers() -> None:
    receiver = entry(1, TableState.UNCONNECTED, RUN, "dgram")
    found = rows(receiver, *(entry(n, peer=1, kind="dgram") for n in (2, 3)))
    assert [(row.state, inodes(row)) for row in found] == [
        (RowState.BOUND, (1, None)),
        (RowState.CONNECTED, (1, 2)),
        (RowState.CONNECTED, (1, 3)),
    ]


def test_what_is_neither_named_nor_connected_is_unconnected() -> None:
    assert one(entry(4, TableState.UNCONNECTED)).state is RowState.UNCONNECTED
    assert one(entry(4, TableState.UNCONNECTED, RUN)).state is RowState.BOUND


def test_without_peers_each_socket_is_a_row_of_its_own() -> None:
    found = rows(listener(), entry(4), entry(5, address=RUN))
    assert [inodes(row) for row in found] == [(1, None), (None, 4), (5, None)]


# -- choosing and sorting

APP = Owner(412, 3, "app", 1000)
NC = Owner(900, 3, "nc", 77)


@pytest.fixture
def some() -> list[Row]:
    stale = Row(RowState.STALE, None, Address.pathname("/run/old.sock"), file_owner=5)
    known = {1: [APP], 5: [APP], 4: [NC]}
    return [
        *rows(listener(queued=2), entry(5, peer=4, address=RUN), entry(4, peer=5, unread=9), owners=known),
        stale,
    ]


@pytest.mark.parametrize(
    "criteria, states",
    [
        (Criteria(), {RowState.LISTENING, RowState.CONNECTED, RowState.STALE}),
        (Criteria(listening=True), {RowState.LISTENING}),
        (Criteria(connected=True), {RowState.CONNECTED}),
        (Criteria(stale=True), {RowState.STALE}),
        (Criteria(listening=True, stale=True), {RowState.LISTENING, RowState.STALE}),
        (Criteria(pids=frozenset({900})), {RowState.CONNECTED}),
        (Criteria(pids=frozenset({412, 7})), {RowState.LISTENING, RowState.CONNECTED}),
        (Criteria(uids=frozenset({5})), {RowState.STALE}),
        (Criteria(uids=frozenset({1000}), connected=True), {RowState.CONNECTED}),
        (Criteria(types=frozenset({"dgram"})), set()),
        (Criteria(matches=lambda row: row.address == RUN), {RowState.LISTENING, RowState.CONNECTED}),
    ],
)
def test_rows_are_chosen_by_every_sort_of_criterion(
    some: list[Row], criteria: Criteria, states: set[RowState]
) -> None:
    assert {row.state for row in choose(some, criteria)} == states


def test_where_no_process_is_seen_the_maker_of_the_socket_counts() -> None:
    (row,) = rows(listener(uid=33))
    assert choose([row], Criteria(uids=frozenset({33}))) == [row]


def test_a_listener_stands_before_its_connections_and_names_before_none(some: list[Row]) -> None:
    pair = one(entry(9, peer=8), entry(8, peer=9))
    ordered = sort([pair, *reversed(some)])
    assert [row.state for row in ordered] == [
        RowState.LISTENING,
        RowState.CONNECTED,
        RowState.STALE,
        RowState.CONNECTED,
    ]


@pytest.mark.parametrize("key", listing.SORT_KEYS)
def test_every_order_has_all_rows(some: list[Row], key: str) -> None:
    assert sorted(map(id, sort(some, key))) == sorted(map(id, some))


def test_the_longest_queue_is_first_where_that_is_asked(some: list[Row]) -> None:
    assert sort(some, "queue")[0].state is RowState.LISTENING
    assert sort(some, "unread")[0].state is RowState.CONNECTED


# -- trees and changes


def test_clients_are_grouped_under_their_listener(some: list[Row]) -> None:
    (server, stale) = group(some)
    assert (server.head.state, [row.state for row in server.members]) == (
        RowState.LISTENING,
        [RowState.CONNECTED],
    )
    assert (stale.head.state, stale.members) == (RowState.STALE, ())


def test_a_client_of_a_listener_that_is_gone_stands_alone() -> None:
    old, new = FileIdentity(1, 50), FileIdentity(1, 51)
    groups = group(rows(listener(file=new), entry(5, peer=4, address=RUN, file=old), entry(4, peer=5)))
    assert [(len(found.members)) for found in groups] == [0, 0]


def test_no_row_is_lost_in_a_tree(some: list[Row]) -> None:
    groups = group([*some, *some[1:2]])
    assert sum(1 + len(found.members) for found in groups) == len(some) + 1


def test_what_came_went_and_changed_is_told(some: list[Row]) -> None:
    now_read = [row._replace(client=None) if row.state is RowState.LISTENING else row for row in some[:1]]
    later = [*now_read, one(entry(9, peer=8), entry(8, peer=9))]
    change = difference(some, later)
    assert [row.key for row in change.came] == [(8, 9)]
    assert [row.state for row in change.went] == [RowState.CONNECTED, RowState.STALE]
    assert change.changed == ()


def test_bytes_that_wait_are_a_change() -> None:
    before = rows(entry(4, peer=5, unread=0), entry(5, peer=4))
    after = rows(entry(4, peer=5, unread=6), entry(5, peer=4))
    assert difference(before, after) == ((), (), tuple(after))
