"""Whom the watch finds: streams on which nothing moves while somebody waits for them, and no others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.loops import HandTurned

from afunix.streams.stillness import StillnessWatch, Watched


class Still:
    """A stream whose movement is what a test says."""

    def __init__(self) -> None:
        self._bytes_moved = 0
        self._is_waited_for = True
        self._unread_by_peer = 0


class Watching:
    """A watch with a limit of 2 s over `streams`, and whom it found."""

    def __init__(self, loop: HandTurned) -> None:
        self.loop = loop
        self.streams: list[Still] = []
        self.found: list[Watched] = []
        self.watch = StillnessWatch(loop, 2.0, lambda: list(self.streams), self._note)

    def _note(self, stream: Watched) -> None:
        self.found.append(stream)
        self.streams.remove(stream)  # type: ignore[arg-type]

    def add(self) -> Still:
        stream = Still()
        self.streams.append(stream)
        self.watch.wake()
        return stream

    def pass_by(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.loop.advance(0.05)


@pytest.fixture
def watching(loop: HandTurned) -> Iterator[Watching]:
    watching = Watching(loop)
    yield watching
    watching.watch.close()


def test_a_still_stream_is_found_never_early_and_a_tenth_late_at_most(watching: Watching) -> None:
    stream = watching.add()
    watching.pass_by(2.0)
    assert watching.found == []
    watching.pass_by(0.25)
    assert watching.found == [stream]


def test_a_byte_begins_the_time_anew(watching: Watching) -> None:
    stream = watching.add()
    for _ in range(5):
        watching.pass_by(1.5)
        stream._bytes_moved += 1
    assert watching.found == []


def test_what_the_peer_reads_begins_the_time_anew(watching: Watching) -> None:
    stream = watching.add()
    stream._bytes_moved, stream._unread_by_peer = 100, 5
    for _ in range(5):
        watching.pass_by(1.5)
        stream._unread_by_peer -= 1
    watching.pass_by(1.9)
    assert watching.found == []
    watching.pass_by(0.4)
    assert watching.found == [stream]


def test_time_in_which_nobody_waits_for_it_does_not_count(watching: Watching) -> None:
    stream = watching.add()
    stream._is_waited_for = False
    watching.pass_by(10.0)
    assert watching.found == []
    stream._is_waited_for = True
    watching.pass_by(1.9)
    assert watching.found == []
    watching.pass_by(0.4)
    assert watching.found == [stream]


def test_only_the_still_one_of_many_is_found(watching: Watching) -> None:
    busy, still = watching.add(), watching.add()
    for _ in range(5):
        watching.pass_by(0.5)
        busy._bytes_moved += 1
    assert watching.found == [still]


def test_the_watch_sleeps_while_nobody_is_there(loop: HandTurned, watching: Watching) -> None:
    watching.add()
    watching.streams.clear()
    loop.advance(1.0)
    assert not loop._scheduled  # type: ignore[attr-defined]
    stream = watching.add()
    watching.pass_by(2.25)
    assert watching.found == [stream]


def test_close_ends_the_watch(watching: Watching) -> None:
    watching.add()
    watching.watch.close()
    watching.watch.close()
    watching.pass_by(5.0)
    assert watching.found == []
