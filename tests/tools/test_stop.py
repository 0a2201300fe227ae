"""The order of a stop, with the loop's clock in our hand: what comes first, what is waited for, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from afunix.model.errors import AfunixError, DeniedError
from afunix.tools.stop import STOP_PATIENCE_S, Stop

calls: list[str] = []


class Timers:
    """What `call_later` was asked for; `fire()` lets the one that is on go off."""

    def __init__(self) -> None:
        self.delay: float | None = None
        self._callback: Callable[[], None] | None = None

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timers:
        self.delay, self._callback = delay, callback
        return self

    def cancel(self) -> None:
        self.delay = self._callback = None

    def fire(self) -> None:
        callback, self.delay, self._callback = self._callback, None, None
        assert callback is not None
        callback()


class FakeAcceptor:
    """An acceptor with `live` clients, whose queue can be emptied when `has_descriptors`."""

    def __init__(self) -> None:
        self.live = 0
        self.has_descriptors = True
        self.on_channel: Callable[[Any], None] = lambda channel: None

    def pause(self) -> None:
        calls.append("pause")

    def accept_queued(self) -> bool:
        calls.append("accept queue")
        return self.has_descriptors


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

    def end_conversations(self) -> None:
        calls.append("end conversations")

    def drain(self) -> bool:
        return self.drained

    def bytes_written(self) -> int:
        return self.written

    def bytes_unwritten(self) -> int:
        return self.unwritten


class Scene:
    """A stop and everything around it."""

    def __init__(self, drain_s: float | None = None) -> None:
        self.timers = Timers()
        self.acceptor = FakeAcceptor()
        self.listener = FakeListener()
        self.sink = FakeSink()
        self.ended: list[int] = []
        loop: Any = self.timers
        parts: Any = (self.acceptor, [self.listener], self.sink)
        self.stop = Stop(loop, *parts, drain_s=drain_s, on_end=self.ended.append)


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
    scene.acceptor.has_descriptors = False
    scene.stop.begin()
    assert scene.ended == []
    scene.acceptor.has_descriptors = True
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
    assert calls[-1] == "end conversations"


def test_drain_does_not_wait_for_nobody() -> None:
    Scene(drain_s=30.0).stop.begin()
    assert "end conversations" in calls


def test_a_client_that_is_accepted_late_is_told_at_once_that_no_more_is_taken() -> None:
    scene = Scene()
    taken: list[object] = []
    scene.sink.on_channel = taken.append  # type: ignore[attr-defined]
    scene.stop.begin()

    class Late:
        def end_receiving(self) -> None:
            calls.append("SHUT_RD")

    late = Late()
    scene.acceptor.on_channel(late)
    assert (calls[-1], taken) == ("SHUT_RD", [late])


def test_a_path_that_cannot_be_removed_is_told_and_does_not_stop_the_stop() -> None:
    scene = Scene()
    scene.listener.obstacle = DeniedError("no")
    scene.sink.drained = True
    scene.stop.begin()
    assert [str(error) for error in scene.stop.left_behind] == ["no"]
    assert scene.ended == [0]


def test_close_waits_for_nothing_any_more() -> None:
    scene = Scene()
    scene.stop.begin()
    scene.stop.close()
    assert scene.timers.delay is None


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
