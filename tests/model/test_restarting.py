"""How long to wait before a service is started again, from what is known of its ends."""

from __future__ import annotations

import pytest

from afunix.model.restarting import LONGEST_PAUSE_S, OFTEN, Queue, Restarts, has_moved


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


def test_who_serves_somebody_each_time_is_never_slowed_down() -> None:
    restarts = Restarts(6.4)
    for _ in range(5 * OFTEN):
        restarts = restarts.after_end(1.0, 0.0, is_good=True, has_served=True)
        assert restarts == Restarts()


def test_to_serve_somebody_does_not_excuse_a_failure() -> None:
    assert Restarts().after_end(1.0, 0.0, is_good=False, has_served=True).pause_s == 0.1


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        (Queue(), Queue(), True),
        (Queue(2, (7, 8)), Queue(1, (8,)), True),
        (Queue(2, (7, 8)), Queue(2, (8, 9)), True),
        (Queue(2, (7, 8)), Queue(3, (7, 8, 9)), False),
        (Queue(2, (7, 8)), Queue(3, (0, 8, 9)), False),
        (Queue(2000), Queue(2000), None),
        (Queue(2000), Queue(1999), True),
        (Queue(1, first=b"a"), Queue(1, first=b"b"), True),
        (Queue(1, first=b"a"), Queue(1, first=b"a"), None),
        (Queue(1, first=b"a"), Queue(), True),
        (None, Queue(), None),
        (Queue(1, (7,)), None, None),
    ],
)
def test_a_queue_has_moved_if_its_head_has_gone(
    before: Queue | None, after: Queue | None, moved: bool | None
) -> None:
    assert has_moved(before, after) is moved
