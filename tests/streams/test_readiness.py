"""One epoll in the loop for any number of descriptors: who is served, who no longer is, and what a pause stops."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from tests.loops import HandTurned

from afunix.streams import readiness
from afunix.streams.readiness import HUNG_UP, READABLE, WRITABLE, Readiness

NewPair = Callable[..., tuple[socket.socket, socket.socket]]


class Served:
    """A Readiness, and the record of what it did."""

    def __init__(self, loop: HandTurned) -> None:
        self.items: list[tuple[str, int]] = []
        self.turns = 0
        self.then: Callable[[str], None] = lambda item: None
        self.readiness: Readiness[str] = Readiness(loop, self._on_ready, self._on_turn)

    def _on_ready(self, item: str, events: int) -> None:
        self.items.append((item, events))
        self.then(item)

    def _on_turn(self) -> None:
        self.turns += 1

    def names(self) -> list[str]:
        return [name for name, _ in self.items]


@pytest.fixture
def served(loop: HandTurned) -> Iterator[Served]:
    served = Served(loop)
    with closing(served.readiness):
        yield served


def watch(served: Served, new_pair: NewPair, *names: str) -> list[tuple[socket.socket, socket.socket]]:
    pairs = [new_pair() for _ in names]
    for name, (ours, _) in zip(names, pairs, strict=True):
        served.readiness.add(ours.fileno(), name)
    return pairs


def test_who_has_sent_is_served_and_nobody_else(loop: HandTurned, served: Served, new_pair: NewPair) -> None:
    (_, ana), _ = watch(served, new_pair, "ana", "bo")
    ana.send(b"x")
    loop.turn()
    assert served.items == [("ana", READABLE)]


def test_who_is_not_read_is_served_again(loop: HandTurned, served: Served, new_pair: NewPair) -> None:
    ((ours, ana),) = watch(served, new_pair, "ana")
    ana.send(b"x")
    loop.turn(3)
    assert served.names() == ["ana"] * 3
    ours.recv(1)
    loop.turn(3)
    assert len(served.items) == 3


def test_turn_ends_once_after_everybody_in_it(loop: HandTurned, served: Served, new_pair: NewPair) -> None:
    for _, theirs in watch(served, new_pair, "ana", "bo", "cy"):
        theirs.send(b"x")
    loop.turn()
    assert (sorted(served.names()), served.turns) == (["ana", "bo", "cy"], 1)


def test_who_hangs_up_is_told_without_being_asked_for(
    loop: HandTurned, served: Served, new_pair: NewPair
) -> None:
    ours, theirs = new_pair()
    served.readiness.add(ours.fileno(), "ana", events=0)
    loop.turn()
    assert served.items == []
    theirs.close()
    loop.turn()
    assert served.items[0][1] & HUNG_UP


def test_events_can_be_changed(loop: HandTurned, served: Served, new_pair: NewPair) -> None:
    ((ours, _),) = watch(served, new_pair, "ana")
    served.readiness.modify(ours.fileno(), WRITABLE)
    loop.turn()
    assert served.items == [("ana", WRITABLE)]


def test_who_was_removed_is_served_no_more(loop: HandTurned, served: Served, new_pair: NewPair) -> None:
    ((ours, ana),) = watch(served, new_pair, "ana")
    ana.send(b"x")
    served.readiness.remove(ours.fileno())
    served.readiness.remove(ours.fileno())
    loop.turn(2)
    assert served.items == []


def test_who_is_removed_by_somebody_before_him_in_the_same_turn_is_not_served(
    loop: HandTurned, served: Served, new_pair: NewPair
) -> None:
    pairs = dict(zip(["ana", "bo"], watch(served, new_pair, "ana", "bo"), strict=True))

    def remove_the_other(name: str) -> None:
        served.readiness.remove(pairs["bo" if name == "ana" else "ana"][0].fileno())

    served.then = remove_the_other
    for _, theirs in pairs.values():
        theirs.send(b"x")
    loop.turn()
    assert len(served.items) == 1


def test_pause_holds_for_the_rest_of_the_turn_and_until_resume(
    loop: HandTurned, served: Served, new_pair: NewPair
) -> None:
    for _, theirs in watch(served, new_pair, "ana", "bo", "cy"):
        theirs.send(b"x")
    served.then = lambda name: served.readiness.pause()
    loop.turn(3)
    assert len(served.items) == 1
    served.then = lambda name: None
    served.readiness.resume()
    loop.turn()
    assert len(served.items) == 4


def test_more_than_a_batch_is_served_in_several_turns(
    loop: HandTurned, served: Served, new_pair: NewPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "BATCH", 2)
    for _, theirs in watch(served, new_pair, *"abcde"):
        theirs.send(b"x")
    loop.turn()
    assert len(served.items) == 2
    loop.turn(2)
    assert set(served.names()) == set(
        "abcde"
    )  # whoever waits comes before whoever was served (epoll's ready list)


def test_nobody_to_watch_is_nothing_on_the_loop(loop: HandTurned, served: Served, new_pair: NewPair) -> None:
    before = len(loop_readers(loop))
    ((ours, _),) = watch(served, new_pair, "ana")
    assert len(loop_readers(loop)) == before + 1
    served.readiness.remove(ours.fileno())
    assert len(loop_readers(loop)) == before


def test_regular_file_is_refused(served: Served, sock_dir: str) -> None:
    with open(f"{sock_dir}/file", "wb") as file, pytest.raises(PermissionError):
        served.readiness.add(file.fileno(), "file")
    assert file.closed


def test_close_is_idempotent_and_gives_the_descriptor_back(loop: HandTurned) -> None:
    before = len(os.listdir("/proc/self/fd"))
    watched: Readiness[str] = Readiness(loop, lambda item, events: None)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    watched.close()
    watched.close()
    assert len(os.listdir("/proc/self/fd")) == before


def loop_readers(loop: HandTurned) -> list[int]:
    selector = loop._selector  # type: ignore[attr-defined]
    return list(selector.get_map())


# Staying


@pytest.fixture
def staying(loop: HandTurned) -> Iterator[Served]:
    served = Served(loop)
    served.readiness._stays = True
    with closing(served.readiness):
        yield served


def receive_and_ask_again(staying: Served, ours: socket.socket, theirs: socket.socket, times: int) -> None:
    """Each time that ours is served it takes what came, and theirs sends again, so often."""

    def answer(name: str) -> None:
        ours.recv(9)
        if len(staying.items) < times:
            theirs.send(b"x")

    staying.then = answer
    theirs.send(b"x")


def test_answer_that_comes_at_once_is_served_in_the_same_turn(
    loop: HandTurned, staying: Served, new_pair: NewPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_STAY_S", 3600.0)
    ((ours, theirs),) = watch(staying, new_pair, "ana")
    receive_and_ask_again(staying, ours, theirs, 5)
    loop.turn()
    assert (staying.names(), staying.turns) == (["ana"] * 5, 1)


def test_turn_ends_after_its_time_though_there_is_more(
    loop: HandTurned, staying: Served, new_pair: NewPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(readiness, "monotonic", lambda: next(clock))
    monkeypatch.setattr(readiness, "_STAY_S", 3)
    ((ours, theirs),) = watch(staying, new_pair, "ana")
    receive_and_ask_again(staying, ours, theirs, 100)
    loop.turn()
    assert len(staying.items) == 3


@pytest.mark.parametrize("way", ["leave", "pause"])
def test_turn_ends_when_there_is_something_else_to_do(
    loop: HandTurned, staying: Served, new_pair: NewPair, way: str
) -> None:
    ((ours, theirs),) = watch(staying, new_pair, "ana")
    receive_and_ask_again(staying, ours, theirs, 100)
    answer = staying.then

    def answer_and_go(name: str) -> None:
        answer(name)
        getattr(staying.readiness, way)()

    staying.then = answer_and_go
    loop.turn()
    assert len(staying.items) == 1
