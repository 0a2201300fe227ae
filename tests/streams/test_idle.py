"""The watch over silent clients, by a clock that stands still until the test moves it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from tests.loops import HandTurned

from afunix.streams.idle import IdleWatch

LIMIT_S = 10.0


@dataclass
class Guest:
    """Somebody who was last heard at `touched`."""

    name: str
    touched: float


class Room:
    """Who is there, who was found idle, and a clock that can be held."""

    def __init__(self, loop: HandTurned) -> None:
        self.guests: list[Guest] = []
        self.idle: list[str] = []
        self.held_s = 0.0
        self.loop = loop
        self.watch: IdleWatch[Guest] = IdleWatch(
            loop, LIMIT_S, self.clock, lambda: self.guests, self._on_idle
        )

    def clock(self) -> float:
        return self.loop.time() - self.held_s

    def enter(self, name: str) -> Guest:
        guest = Guest(name, self.clock())
        self.guests.append(guest)
        self.watch.wake()
        return guest

    def _on_idle(self, guest: Guest) -> None:
        self.guests.remove(guest)
        self.idle.append(guest.name)

    def timers(self) -> int:
        return sum(not handle.cancelled() for handle in self.loop._scheduled)  # type: ignore[attr-defined]


@pytest.fixture
def room(loop: HandTurned) -> Iterator[Room]:
    room = Room(loop)
    with closing(room.watch):
        yield room


def test_silent_one_is_found_after_the_limit_and_not_before(loop: HandTurned, room: Room) -> None:
    room.enter("ana")
    loop.advance(LIMIT_S - 0.01)
    assert room.idle == []
    loop.advance(0.02)
    assert room.idle == ["ana"]


def test_one_that_speaks_stays(loop: HandTurned, room: Room) -> None:
    ana = room.enter("ana")
    for _ in range(20):
        loop.advance(LIMIT_S / 2)
        ana.touched = room.clock()
    assert room.idle == []
    loop.advance(LIMIT_S + LIMIT_S / 20)
    assert room.idle == ["ana"]


def test_late_comer_is_found_within_a_twentieth_of_the_limit(loop: HandTurned, room: Room) -> None:
    room.enter("ana")
    loop.advance(9.99)
    room.enter("bo")
    loop.advance(0.01)
    assert room.idle == ["ana"]
    loop.advance(LIMIT_S + LIMIT_S / 20)
    assert room.idle == ["ana", "bo"]


def test_several_at_once_are_all_found(loop: HandTurned, room: Room) -> None:
    for name in "abc":
        room.enter(name)
    loop.advance(LIMIT_S)
    assert room.idle == ["a", "b", "c"]


def test_time_in_which_the_clock_is_held_does_not_count(loop: HandTurned, room: Room) -> None:
    room.enter("ana")
    for _ in range(100):
        room.held_s += LIMIT_S
        loop.advance(LIMIT_S)
    assert room.idle == []
    loop.advance(LIMIT_S + LIMIT_S / 20)
    assert room.idle == ["ana"]


def test_one_timer_for_everybody_and_none_for_nobody(loop: HandTurned, room: Room) -> None:
    assert room.timers() == 0
    for name in "abc":
        room.enter(name)
    assert room.timers() == 1
    loop.advance(LIMIT_S)
    assert room.timers() == 0


def test_watch_wakes_again_for_the_next_one(loop: HandTurned, room: Room) -> None:
    room.enter("ana")
    loop.advance(LIMIT_S)
    loop.advance(5 * LIMIT_S)
    room.enter("bo")
    loop.advance(LIMIT_S)
    assert room.idle == ["ana", "bo"]


def test_held_clock_costs_a_look_each_twentieth_of_the_limit_at_most(loop: HandTurned, room: Room) -> None:
    looks = 0
    guests = room.guests

    def count() -> list[Guest]:
        nonlocal looks
        looks += 1
        return guests

    room.watch._items = count
    room.enter("ana")
    for _ in range(1000):
        room.held_s += LIMIT_S / 1000
        loop.advance(LIMIT_S / 1000)
    assert looks <= 2 * 21  # each look goes through them twice


def test_close_leaves_no_timer(loop: HandTurned, room: Room) -> None:
    room.enter("ana")
    room.watch.close()
    room.watch.close()
    assert room.timers() == 0
    loop.advance(10 * LIMIT_S)
    assert room.idle == []
