"""Deadlines as pure decisions: the tests are the clock."""

from __future__ import annotations

import math

import pytest

from afunix.model.patience import Ending, Patience, Retrying, milliseconds, must_be_seconds, show_seconds


def test_without_limits_connecting_never_ends_and_tries_once() -> None:
    retrying = Retrying(100.0)
    assert (retrying.left(1e9), retrying.is_over(1e9), retrying.retries) == (None, False, False)


def test_shorter_of_two_limits_holds() -> None:
    retrying = Retrying(100.0, timeout=5, wait=2)
    assert (retrying.limit, retrying.retries) == (2, True)
    assert retrying.left(101.5) == 0.5
    assert not retrying.is_over(101.9)
    assert retrying.is_over(102.0)
    assert retrying.left(200) == 0


def test_pauses_grow_to_a_tenth_of_a_second_and_end_at_the_deadline() -> None:
    retrying = Retrying(0.0, wait=1)
    pauses = [retrying.next_pause(0.0) for _ in range(7)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.1
    assert retrying.next_pause(0.95) == pytest.approx(0.05)


def test_pauses_can_be_chosen() -> None:
    retrying = Retrying(0.0, wait=math.inf, first_pause=1, longest_pause=3)
    assert [retrying.next_pause(0.0) for _ in range(4)] == [1, 2, 3, 3]


@pytest.mark.parametrize("limits", [{"timeout": -1}, {"wait": math.nan}])
def test_time_that_cannot_be_meant_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"is (-1|nan), expected 0 seconds or more"):
        Retrying(0.0, **limits)


def test_what_is_no_number_of_seconds_is_refused() -> None:
    for wrong in ("2s", True, None):
        with pytest.raises(TypeError, match=r"timeout is [a-zA-Z]+, expected seconds"):
            must_be_seconds(wrong, "timeout")  # type: ignore[arg-type]


def test_waiting_for_ever_is_a_limit_that_never_passes() -> None:
    retrying = Retrying(0.0, wait=math.inf)
    assert (retrying.retries, retrying.is_over(1e9), retrying.next_pause(1e9) > 0) == (True, False, True)


def test_silence_ends_a_conversation_and_bytes_start_it_again() -> None:
    patience = Patience(0.0, idle=2)
    assert (patience.expiry(1.9), patience.left(1.5)) == (None, 0.5)
    patience.note(1.9, moved=True, paused=False)
    assert patience.expiry(3.8) is None
    assert patience.expiry(3.9) is Ending.IDLE


def test_silence_does_not_count_while_we_are_not_reading() -> None:
    patience = Patience(0.0, idle=2)
    patience.note(1.0, moved=False, paused=True)
    assert (patience.expiry(100.0), patience.left(100.0)) == (None, None)
    patience.note(100.0, moved=False, paused=False)
    assert patience.expiry(101.9) is None
    assert patience.expiry(102.0) is Ending.IDLE


def test_deadline_holds_whatever_moves() -> None:
    patience = Patience(0.0, idle=2, deadline=5)
    patience.note(4.9, moved=True, paused=True)
    assert patience.left(4.9) == pytest.approx(0.1)
    assert patience.expiry(5.0) is Ending.WHOLE


def test_milliseconds_are_rounded_up_and_never_negative() -> None:
    assert [milliseconds(s) for s in (0, -1, 0.0001, 0.25, 1.9999)] == [0, 0, 1, 250, 2000]


@pytest.mark.parametrize(("seconds", "shown"), [(2, "2 s"), (0.5, "0.5 s"), (0.125, "0.125 s"), (60, "60 s")])
def test_seconds_are_shown_without_needless_zeros(seconds: float, shown: str) -> None:
    assert show_seconds(seconds) == shown


def test_a_turn_in_which_nothing_moved_is_silence_too() -> None:
    patience = Patience(0.0, idle=2)
    patience.note(1.9, moved=False, paused=False)
    assert patience.expiry(2.0) is Ending.IDLE
