"""From a table to rows: which two sockets are one connection, which end serves, what each state means."""

from __future__ import annotations

import pytest
from tests.tables import RUN, UNNAMED, entry, listener, one, rows

from afunix.model.address import Address
from afunix.model.listing import Row, RowState
from afunix.model.socket_table import FileIdentity, Shutdown, TableState


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
    row = one(listener(), entry(4, peer=0, address=address, shutdown=Shutdown.BOTH))
    assert (row.state, inodes(row)) == (RowState.HUNG_UP, ends)


def test_one_that_waits_at_a_listener_in_another_network_namespace_is_queued() -> None:
    row = one(listener(), entry(4, peer=0, shutdown=Shutdown.NOTHING))
    assert (row.state, row.address, inodes(row)) == (RowState.QUEUED, UNNAMED, (None, 4))


def test_of_two_names_that_are_one_the_file_tells_whose_is_the_listener() -> None:
    mine, other = FileIdentity(1, 50), FileIdentity(1, 51)
    name = Address.pathname("s")
    row = one(
        listener(address=name, file=mine),
        entry(4, peer=5, address=name, file=other),
        entry(5, peer=4, address=name, file=mine),
    )
    assert inodes(row) == (5, 4)


def test_of_two_names_without_a_listener_the_later_socket_was_accepted() -> None:
    one_name, other_name = Address.abstract("X"), Address.abstract("Y")
    assert inodes(one(entry(7, peer=4, address=one_name), entry(4, peer=7, address=other_name))) == (7, 4)


def test_what_waits_at_a_receiver_of_datagrams_is_told_once() -> None:
    receiver = entry(1, TableState.UNCONNECTED, RUN, "dgram", unread=500)
    bound, sender = rows(receiver, entry(2, peer=1, kind="dgram", unread=0))
    assert (bound.unread_by_server, sender.unread_by_server) == (500, None)


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
