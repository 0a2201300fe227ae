"""The live line: what it shows, and when it shows nothing."""

from __future__ import annotations

import os

import pytest

from afunix.cli import live
from afunix.cli.live import Live


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_since_the_last_look() -> None:
    shown: list[str] = []
    clock = Clock()
    line = Live(clock=clock, show=shown.append)
    line.look(0, 0, 0)
    clock.now += 2
    line.look(2, 4096, 100)
    assert shown[-1] == "2 connected   up 2.0 KiB/s (4.0 KiB)   down 50 B/s (100 B)"
    clock.now += 1
    line.look(1, 4096, 100)
    assert shown[-1] == "1 connected   up 0 B/s (4.0 KiB)   down 0 B/s (100 B)"


def test_end_leaves_nothing_behind() -> None:
    shown: list[str] = []
    Live(show=shown.append).close()
    assert shown == [""]


def test_in_the_background_the_terminal_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp() + 1)
    shown: list[str] = []
    Live(show=shown.append).look(3, 10, 10)
    assert shown == [""]


def test_it_needs_a_terminal_that_can_take_a_line_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: True)
    monkeypatch.setenv("TERM", "dumb")
    assert not live.is_possible()
    monkeypatch.setenv("TERM", "xterm")
    assert live.is_possible()
    monkeypatch.setattr(os, "isatty", lambda fd: False)
    assert not live.is_possible()
