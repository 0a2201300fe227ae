"""Rows chosen, sorted, grouped and compared."""

from __future__ import annotations

import pytest
from tests.tables import RUN, entry, listener, one, rows

from afunix.model import arrangement
from afunix.model.address import Address
from afunix.model.arrangement import Criteria, choose, difference, group, sort
from afunix.model.listing import Row, RowState
from afunix.model.socket_table import FileIdentity, Owner

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


@pytest.mark.parametrize("key", arrangement.SORT_KEYS)
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
