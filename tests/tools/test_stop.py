"""The order of a stop, with the loop's clock in our hand: what comes first, what is waited for, and for how long."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from afunix.model.acceptance import LONGEST_PAUSE_S
from afunix.model.errors import AfunixError, DeniedError
from afunix.model.framing import PieceEnd
from afunix.tools.settings import TurnedAway
from afunix.tools.stop import STOP_PATIENCE_S, Stop

calls: list[str] = []


class Timer:
    def __init__(self, timers: list[Timer], delay: float, callback: Callable[[], None]) -> None:
        self._timers = timers
        self.delay = delay
        self.callback = callback
        timers.append(self)

    def cancel(self) -> None:
        if self in self._timers:
            self._timers.remove(self)


class Timers:
    """What `call_later` was asked for: `delay` is the longest, and `fire()` lets that one go off."""

    def __init__(self) -> None:
        self.waiting: list[Timer] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        return Timer(self.waiting, delay, callback)

    @property
    def delay(self) -> float | None:
        return max((timer.delay for timer in self.waiting), default=None)

    def fire(self, delay: float | None = None) -> None:
        (timer,) = (timer for timer in self.waiting if timer.delay == (delay or self.delay))
        timer.cancel()
        timer.callback()


@dataclass(frozen=True)
class FakeSocket:
    family: socket.AddressFamily


class FakeChannel:
    """A client who has sent `sent` bytes, and then waits in the queue."""

    def __init__(self, sent: int = 0, family: socket.AddressFamily = socket.AF_UNIX) -> None:
        self.sent = sent
        self.socket = FakeSocket(family)

    def queued(self) -> int:
        return self.sent

    def end_receiving(self) -> None:
        calls.append("SHUT_RD")

    def close(self) -> None:
        calls.append("close client")


class FakeAcceptor:
    """An acceptor with `live` clients, whose queue (of `waiting`) can be emptied when `has_descriptors()`."""

    def __init__(self) -> None:
        self.live = 0
        self.accepted = 0
        self.shortage = 0
        self.has_descriptors: Callable[[], bool] = lambda: True
        self.waiting: list[Any] = []
        self.on_channel: Callable[[Any], None] = lambda channel: None

    def pause(self) -> None:
        calls.append("pause")

    def accept_queued(self) -> bool:
        calls.append("accept queue")
        while self.has_descriptors():
            if not self.waiting:
                return True
            self.accepted += 1
            self.on_channel(self.waiting.pop(0))
        self.shortage = errno.EMFILE
        return False


class FakeListener:
    def __init__(self) -> None:
        self.obstacle: AfunixError | None = None

    def refuse_new(self) -> None:
        calls.append("refuse new")

    def unlink(self) -> AfunixError | None:
        calls.append("unlink")
        obstacle, self.obstacle = self.obstacle, None
        return obstacle


class FakeSink:
    def __init__(self) -> None:
        self.drained = False
        self.written = 0
        self.unwritten = 0
        self.on_progress: Callable[[], None] = lambda: None
        self.is_closed = False

    def end_conversations(self) -> None:
        calls.append("end conversations")

    def drain(self) -> bool:
        return self.drained

    def bytes_written(self) -> int:
        return self.written

    def bytes_unwritten(self) -> int:
        assert not self.is_closed, "what was lost is known no more"
        return self.unwritten

    def close(self) -> None:
        self.is_closed = True


class Scene:
    """A stop and everything around it."""

    def __init__(self, drain_s: float | None = None) -> None:
        self.timers = Timers()
        self.acceptor = FakeAcceptor()
        self.listener = FakeListener()
        self.sink = FakeSink()
        self.ended: list[int] = []
        self.finished: list[tuple[Any, PieceEnd]] = []
        loop: Any = self.timers
        parts: Any = (self.acceptor, [self.listener], self.sink)
        self.stop = Stop(
            loop,
            *parts,
            drain_s=drain_s,
            on_finished=lambda channel, end: self.finished.append((channel, end)),
            on_end=self.ended.append,
        )


@pytest.fixture(autouse=True)
def no_calls_yet() -> Iterator[None]:
    calls.clear()
    yield


def test_queued_clients_are_taken_before_the_path_is_freed_and_before_conversations_end() -> None:
    Scene().stop.begin()
    assert calls[:5] == ["pause", "refuse new", "accept queue", "unlink", "end conversations"]


def test_a_stop_ends_at_once_when_nothing_is_on_its_way() -> None:
    scene = Scene()
    scene.sink.drained = True
    scene.stop.begin()
    assert scene.ended == [0]


def test_a_stop_ends_when_the_last_bytes_are_written() -> None:
    scene = Scene()
    scene.stop.begin()
    assert scene.ended == []
    scene.sink.drained = True
    scene.sink.on_progress()
    assert scene.ended == [0]


def test_a_stop_is_not_over_while_the_queue_waits_for_descriptors() -> None:
    scene = Scene()
    scene.sink.drained = True
    scene.acceptor.has_descriptors = lambda: False
    scene.stop.begin()
    assert scene.ended == []
    scene.acceptor.has_descriptors = lambda: True
    scene.stop.go_on()
    assert scene.ended == [0]


def test_descriptors_that_nobody_tells_of_are_found_at_the_next_try() -> None:
    scene = Scene()
    scene.sink.drained = True
    scene.acceptor.has_descriptors = lambda: False
    scene.stop.begin()
    scene.timers.fire(LONGEST_PAUSE_S)
    assert scene.ended == []
    scene.acceptor.has_descriptors = lambda: True
    scene.timers.fire(LONGEST_PAUSE_S)
    assert scene.ended == [0]


def short_of_descriptors(*waiting: FakeChannel, until_sink_closes: bool = False) -> Scene:
    """A stop that could not empty the queue, one moment before its patience ends."""
    scene = Scene()
    scene.sink.drained = True
    scene.acceptor.waiting = [*waiting]
    scene.acceptor.has_descriptors = lambda: until_sink_closes and scene.sink.is_closed
    scene.stop.begin()
    return scene


def test_clients_that_wait_to_the_end_for_descriptors_are_turned_away_and_counted() -> None:
    silent, lively = FakeChannel(), FakeChannel(sent=6)
    scene = short_of_descriptors(silent, lively, until_sink_closes=True)
    scene.sink.unwritten = 77
    scene.timers.fire(STOP_PATIENCE_S)
    assert scene.ended == [77]
    assert scene.stop.turned_away == TurnedAway(errno.EMFILE, clients=2, is_certain=True, sent=6)
    assert scene.finished == [(silent, PieceEnd.EOF), (lively, PieceEnd.EOF)]
    assert calls.count("close client") == 2


def test_clients_that_nobody_can_count_may_have_been_turned_away() -> None:
    scene = short_of_descriptors(FakeChannel())
    scene.timers.fire(STOP_PATIENCE_S)
    assert scene.ended == [0]
    assert scene.stop.turned_away == TurnedAway(errno.EMFILE, clients=0, is_certain=False, sent=0)


def test_a_queue_that_was_empty_all_the_time_is_no_loss() -> None:
    scene = short_of_descriptors(until_sink_closes=True)
    scene.timers.fire(STOP_PATIENCE_S)
    assert (scene.ended, scene.stop.turned_away) == ([0], None)


def test_a_queue_that_moves_is_waited_for() -> None:
    scene = short_of_descriptors(FakeChannel())
    scene.acceptor.accepted += 1
    scene.timers.fire(STOP_PATIENCE_S)
    assert (scene.ended, scene.timers.delay) == ([], STOP_PATIENCE_S)


def test_an_end_comes_once() -> None:
    scene = short_of_descriptors(FakeChannel(), until_sink_closes=True)
    scene.timers.fire(STOP_PATIENCE_S)
    scene.stop.go_on()
    assert scene.ended == [0]


def test_an_output_that_takes_nothing_is_given_up_and_what_is_lost_is_counted() -> None:
    scene = Scene()
    scene.sink.unwritten = 77
    scene.stop.begin()
    assert scene.timers.delay == STOP_PATIENCE_S
    scene.timers.fire()
    assert scene.ended == [77]


def test_an_output_that_is_only_slow_is_waited_for() -> None:
    scene = Scene()
    scene.stop.begin()
    scene.sink.written = 1
    scene.timers.fire()
    assert (scene.ended, scene.timers.delay) == ([], STOP_PATIENCE_S)


def test_drain_lets_conversations_go_on_until_its_time_is_over() -> None:
    scene = Scene(drain_s=30.0)
    scene.acceptor.live = 1
    scene.stop.begin()
    assert "end conversations" not in calls
    assert (scene.timers.delay, calls[3]) == (30.0, "unlink")
    scene.timers.fire()
    assert "end conversations" in calls


def test_drain_does_not_wait_for_nobody() -> None:
    Scene(drain_s=30.0).stop.begin()
    assert "end conversations" in calls


def test_a_client_that_is_accepted_late_is_told_at_once_that_no_more_is_taken() -> None:
    scene = Scene()
    taken: list[object] = []
    scene.sink.on_channel = taken.append  # type: ignore[attr-defined]
    scene.stop.begin()
    late = FakeChannel()
    scene.acceptor.on_channel(late)
    assert (calls[-1], taken) == ("SHUT_RD", [late])


def test_a_tcp_client_that_is_accepted_late_is_not_told_what_tcp_has_no_word_for() -> None:
    scene = Scene()
    taken: list[object] = []
    scene.sink.on_channel = taken.append  # type: ignore[attr-defined]
    scene.stop.begin()
    late = FakeChannel(family=socket.AF_INET)
    scene.acceptor.on_channel(late)
    assert ("SHUT_RD" in calls, taken) == (False, [late])


def test_a_path_that_cannot_be_removed_is_told_and_does_not_stop_the_stop() -> None:
    scene = Scene()
    scene.listener.obstacle = DeniedError("no")
    scene.sink.drained = True
    scene.stop.begin()
    assert [str(error) for error in scene.stop.left_behind] == ["no"]
    assert scene.ended == [0]


def test_close_waits_for_nothing_any_more() -> None:
    scene = short_of_descriptors(FakeChannel())
    scene.stop.close()
    assert scene.timers.waiting == []


def test_the_drain_can_be_cut_short() -> None:
    scene = Scene(drain_s=30.0)
    scene.acceptor.live = 1
    scene.stop.begin()
    scene.stop.end_drain()
    assert calls.count("end conversations") == 1
    assert scene.timers.delay == STOP_PATIENCE_S


def test_cutting_short_what_is_ending_changes_nothing() -> None:
    scene = Scene()
    scene.stop.begin()
    scene.stop.end_drain()
    assert calls.count("end conversations") == 1
