"""Who waits for a place: in order, not for ever, and never at another client's expense."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from tests.loops import HandTurned, faults_of

from afunix.kernel.channel import Channel
from afunix.streams.lobby import BATCH, Lobby

NewPair = Callable[..., tuple[socket.socket, socket.socket]]


class Room:
    """A lobby with two places and 5 s of patience, and what it did."""

    def __init__(self, loop: HandTurned, new_pair: NewPair, places: int = 2) -> None:
        self.admitted: list[int] = []
        self.queued: list[int] = []
        self.dropped: list[tuple[int, float]] = []
        self.left: list[int] = []
        self.clients: dict[int, socket.socket] = {}
        self.on_admitted: Callable[[Channel], None] = lambda channel: None
        self.lobby = Lobby(loop, places, 5.0, self._admit, self._queue, self._drop)
        self._new_pair = new_pair

    def _admit(self, channel: Channel) -> None:
        self.admitted.append(channel.connection)
        self.on_admitted(channel)

    def _queue(self, channel: Channel) -> None:
        self.queued.append(channel.connection)

    def _drop(self, channel: Channel, seconds: float, had_left: bool) -> None:
        self.dropped.append((channel.connection, seconds))
        if had_left:
            self.left.append(channel.connection)

    def come(self, *numbers: int) -> None:
        for number in numbers:
            near, self.clients[number] = self._new_pair()
            self.lobby.enter(Channel(near, number))


@pytest.fixture
def room(loop: HandTurned, new_pair: NewPair) -> Iterator[Room]:
    room = Room(loop, new_pair)
    yield room
    room.lobby.close()


def test_places_are_taken_and_the_others_wait_in_order(loop: HandTurned, room: Room) -> None:
    room.come(1, 2, 3, 4)
    assert (room.admitted, room.queued, len(room.lobby)) == ([1, 2], [3, 4], 2)
    room.lobby.leave()
    loop.turn()
    assert (room.admitted, len(room.lobby)) == ([1, 2, 3], 1)


def test_nobody_overtakes_those_who_wait(loop: HandTurned, room: Room) -> None:
    room.come(1, 2, 3)
    room.lobby.leave()
    room.come(4)  # there is a place, and it is somebody else's
    assert room.admitted == [1, 2]
    loop.turn()
    assert room.admitted == [1, 2, 3]


def test_who_leaves_does_not_run_the_next_one(room: Room) -> None:
    room.come(1, 2, 3)
    room.lobby.leave()
    assert room.admitted == [1, 2]


def test_who_waited_too_long_is_dropped_and_told_how_long(loop: HandTurned, room: Room) -> None:
    room.come(1, 2, 3)
    loop.advance(2.0)
    room.come(4)
    loop.advance(3.0)
    assert (room.dropped, len(room.lobby)) == ([(3, 5.0)], 1)
    loop.advance(2.0)
    assert room.dropped == [(3, 5.0), (4, 5.0)]


def test_who_was_admitted_in_time_is_not_dropped(loop: HandTurned, room: Room) -> None:
    room.come(1, 2, 3)
    room.lobby.leave()
    loop.turn()
    loop.advance(10.0)
    assert room.dropped == []


def test_who_has_left_gives_way_at_once_and_is_told_of(loop: HandTurned, room: Room) -> None:
    room.come(1, 2, 3, 4, 5)
    room.clients[3].close()
    room.clients[4].close()
    loop.advance(1.0)
    room.lobby.leave()
    loop.turn()
    assert (room.admitted, room.dropped, room.left) == ([1, 2, 5], [(3, 1.0), (4, 1.0)], [3, 4])


def test_who_left_a_message_behind_or_waits_for_an_answer_is_served(loop: HandTurned, room: Room) -> None:
    room.come(1, 2, 3, 4)
    room.clients[3].send(b"goodbye")
    room.clients[3].close()
    room.clients[4].shutdown(socket.SHUT_WR)
    room.lobby.leave()
    room.lobby.leave()
    loop.turn()
    assert (room.admitted, room.dropped) == ([1, 2, 3, 4], [])


def test_a_packet_that_is_empty_is_not_taken_for_none(loop: HandTurned, new_pair: NewPair) -> None:
    room = Room(loop, partial(new_pair, socket.SOCK_SEQPACKET), places=1)
    room.come(1, 2)
    room.clients[2].send(b"")
    room.clients[2].close()
    room.lobby.leave()
    loop.turn()
    assert room.admitted == [1, 2]


def test_who_has_left_is_not_served_by_a_stop_either(room: Room) -> None:
    room.come(1, 2, 3, 4)
    room.clients[3].close()
    room.lobby.admit_all()
    assert (room.admitted, room.left) == ([1, 2, 4], [3])


def test_a_row_of_short_visits_is_no_recursion_and_no_long_turn(loop: HandTurned, new_pair: NewPair) -> None:
    room = Room(loop, new_pair, places=1)
    room.come(0)
    room.on_admitted = lambda channel: room.lobby.leave()  # it is served at once
    room.come(*range(1, 401))
    room.lobby.leave()
    loop.turn()
    assert len(room.admitted) == 1 + BATCH
    loop.turn(10)
    assert room.admitted == [*range(401)]
    room.lobby.close()


def test_who_cannot_be_served_does_not_keep_the_others_waiting(loop: HandTurned, room: Room) -> None:
    def fail_once(channel: Channel) -> None:
        room.on_admitted = lambda channel: None
        room.lobby.leave()  # what the attendance says of one that it gave up
        raise ZeroDivisionError

    room.come(1, 2, 3, 4)
    room.on_admitted = fail_once
    room.lobby.leave()
    assert [type(fault) for fault in faults_of(loop, 3)] == [ZeroDivisionError]
    assert room.admitted == [1, 2, 3, 4]


def test_a_stop_admits_everybody(room: Room) -> None:
    room.come(1, 2, 3, 4, 5)
    room.lobby.admit_all()
    assert (room.admitted, len(room.lobby)) == ([1, 2, 3, 4, 5], 0)


def test_places_given_by_a_stop_are_counted(loop: HandTurned, room: Room) -> None:
    room.come(1, 2, 3)
    room.lobby.admit_all()
    room.lobby.leave()
    room.come(4)
    assert room.queued == [3, 4]


def test_close_drops_who_waits_and_leaves_no_timer(loop: HandTurned, room: Room) -> None:
    room.come(1, 2, 3)
    loop.advance(1.0)
    room.lobby.close()
    room.lobby.close()
    assert room.dropped == [(3, 1.0)]
    loop.advance(10.0)
    assert len(room.dropped) == 1
