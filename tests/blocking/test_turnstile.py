"""The last who leaves closes, and nobody else."""

from __future__ import annotations

import os

import pytest
from tests.blocking.conftest import fork

from afunix.blocking.turnstile import Turnstile


class Door:
    """Counts how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0
        self.turnstile = Turnstile(self.close)

    def close(self) -> None:
        self.closed += 1

    def shut(self) -> None:
        assert self.turnstile.shut()
        self.turnstile.leave()


@pytest.fixture
def door() -> Door:
    return Door()


def test_leaving_closes_nothing_as_long_as_it_is_not_shut(door: Door) -> None:
    with door.turnstile:
        assert door.turnstile.is_used
    assert not door.turnstile.is_used
    assert door.closed == 0


def test_shutting_closes_at_once_when_nobody_is_inside(door: Door) -> None:
    door.shut()
    assert door.closed == 1


def test_the_last_who_leaves_closes(door: Door) -> None:
    with door.turnstile:
        with door.turnstile:
            door.shut()
            assert door.closed == 0
        assert door.closed == 0
    assert door.closed == 1


def test_it_is_shut_once(door: Door) -> None:
    door.shut()
    assert not door.turnstile.shut()


def test_who_shuts_knows_whether_others_are_inside(door: Door) -> None:
    with door.turnstile:
        assert door.turnstile.shut()
        assert door.turnstile.is_shared
        door.turnstile.leave()
    assert door.closed == 1


def test_a_call_that_ends_in_an_exception_has_left_too(door: Door) -> None:
    with pytest.raises(KeyError), door.turnstile:
        raise KeyError
    assert not door.turnstile.is_used


def test_who_was_inside_in_the_parent_is_not_inside_in_the_child(door: Door) -> None:
    with door.turnstile:
        pid = fork()
        if not pid:
            was_used = door.turnstile.is_used
            door.shut()
            os._exit(int(was_used or door.closed != 1))
        assert os.waitpid(pid, 0)[1] == 0
        assert door.turnstile.is_used
