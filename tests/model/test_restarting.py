"""How long to wait before a service is started again, from what is known of its ends."""

from __future__ import annotations

from afunix.model.restarting import LONGEST_PAUSE_S, OFTEN, Restarts


def failing(times: int) -> list[float]:
    restarts, pauses = Restarts(), []
    for number in range(times):
        restarts = restarts.after_end(float(number), 0.1, is_good=False)
        pauses.append(restarts.pause_s)
    return pauses


def test_one_that_fails_soon_waits_longer_each_time() -> None:
    assert failing(4) == [0.1, 0.2, 0.4, 0.8]


def test_there_is_a_longest_pause() -> None:
    assert failing(20)[-1] == LONGEST_PAUSE_S


def test_who_has_lived_for_a_while_begins_anew() -> None:
    restarts = Restarts(6.4).after_end(100.0, 5.0, is_good=False)
    assert restarts.pause_s == 0.0
    assert restarts.after_end(101.0, 1.0, is_good=False).pause_s == 0.1


def test_a_good_end_waits_for_nothing_and_forgets_what_failed() -> None:
    restarts = Restarts(6.4).after_end(100.0, 0.0, is_good=True)
    assert restarts.pause_s == 0.0
    assert restarts.after_end(100.1, 0.0, is_good=False).pause_s == 0.1


def test_too_many_good_ends_at_once_are_slowed_down() -> None:
    restarts = Restarts()
    for _ in range(OFTEN):
        restarts = restarts.after_end(1.0, 0.0, is_good=True)
        assert restarts.pause_s == 0.0
    assert restarts.after_end(1.0, 0.0, is_good=True).pause_s == 0.1


def test_good_ends_now_and_then_are_not() -> None:
    restarts = Restarts()
    for number in range(5 * OFTEN):
        restarts = restarts.after_end(number * 0.2, 0.0, is_good=True)
        assert restarts.pause_s == 0.0
