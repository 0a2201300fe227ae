"""A view: what it shows of events, and where it says that something is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from afunix.model.tapped import Said, Side, TapEvent
from afunix.sinks.tap_view import TapView


class Rendering:
    """What each side said, as it is."""

    def render(self, event: TapEvent) -> bytes:
        return event.data if isinstance(event, Said) else b"."


class Shown:
    """A view in a pipe: what is said to it, and what can be read there."""

    def __init__(self, read_fd: int, view: TapView) -> None:
        self._read_fd = read_fd
        self.view = view

    def say(self, data: bytes, *, is_missed: bool = False) -> None:
        event = Said(1, 0.0, Side.CLIENT, data)
        piece, size = self.view.prepare(event)
        assert size == len(piece[0])
        if is_missed:
            self.view.missed(event)
        else:
            self.view.keep([piece])

    def read(self) -> bytes:
        return os.read(self._read_fd, 100)


@pytest.fixture
def shown() -> Iterator[Shown]:
    read_fd, write_fd = os.pipe()
    view = TapView(write_fd, "STDOUT", Rendering(), lambda at_s, n, size: b"[%d,%d]" % (n, size))
    yield Shown(read_fd, view)
    view.close()
    os.close(read_fd)


def test_events_are_shown_as_they_are_rendered(shown: Shown) -> None:
    shown.say(b"one")
    shown.say(b"two")
    assert shown.read() == b"onetwo"


def test_what_is_missing_is_told_before_what_comes_next_and_once(shown: Shown) -> None:
    shown.say(b"one")
    shown.say(b"gone", is_missed=True)
    shown.say(b"too", is_missed=True)
    shown.say(b"two")
    shown.say(b"three")
    assert shown.read() == b"one[2,7]twothree"


def test_messages_that_were_shown_are_counted_without_what_is_said_of_others(shown: Shown) -> None:
    shown.say(b"gone", is_missed=True)
    shown.say(b"two")
    assert (shown.view.kept_messages, shown.view.kept_bytes) == (1, 3)
