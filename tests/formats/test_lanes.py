"""Lanes share the terminal: each gets what it needs as long as that is there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.lanes import LEAST_LANE, LEAST_LAST, share


def test_each_gets_what_it_needs_if_there_is_room() -> None:
    assert share([30, 40, 50], 200) == [30, 40, 50]


def test_the_widest_gives_way_first() -> None:
    assert share([30, 80, 30], 100) == [30, 40, 30]


def test_the_last_keeps_room_for_a_call() -> None:
    assert share([60, 60, 60], 70)[-1] == 35


@given(st.lists(st.integers(30, 90), min_size=1, max_size=9), st.integers(0, 200))
def test_none_is_narrower_than_it_can_be_drawn_and_all_fit(needs: list[int], more: int) -> None:
    total = LEAST_LANE * (len(needs) - 1) + LEAST_LAST + more
    *lanes, last = share(needs, total)
    assert min([LEAST_LANE, *lanes]) == LEAST_LANE
    assert last >= LEAST_LAST
    assert sum(lanes) + last <= total
