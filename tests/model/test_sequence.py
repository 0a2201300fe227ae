"""A story's arrows: which there are, and before which step they are drawn."""

from __future__ import annotations

import pytest

from afunix.model.sequence import Arrow, Lifeline, Step, Story, find_arrows


def told(*targets: int | None) -> Story:
    steps = [Step(line % 2, "call", 0.0, to=to, arrow=f"from {line}") for line, to in enumerate(targets)]
    return Story("", (Lifeline("a"), Lifeline("b")), tuple(steps))


def test_an_arrow_is_drawn_before_the_step_that_it_leads_to() -> None:
    assert dict(find_arrows(told(3, None, None, None))) == {3: [Arrow(0, 3, "from 0")]}


def test_arrows_to_one_step_come_in_the_order_of_their_sources() -> None:
    assert [arrow.source for arrow in find_arrows(told(2, 2, None))[2]] == [0, 1]


def test_an_arrow_back_in_time_is_drawn_where_it_leaves() -> None:
    assert dict(find_arrows(told(None, 0))) == {1: [Arrow(1, 0, "from 1")]}


@pytest.mark.parametrize("nowhere", [0, 1, -1, 99])
def test_an_arrow_that_leads_nowhere_is_left_out(nowhere: int) -> None:
    assert dict(find_arrows(told(nowhere))) == {}
