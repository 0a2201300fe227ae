"""A story's arrows: which there are, and before which step they are drawn."""

from __future__ import annotations

import pytest

from afunix.model.sequence import Arrow, Lifeline, Outcome, Step, Story, find_arrows, find_births, find_waits


def told(*targets: int | None) -> Story:
    steps = [Step(line % 2, "call", 0.0, to=to, arrow=f"from {line}") for line, to in enumerate(targets)]
    return Story("", (Lifeline("a"), Lifeline("b")), tuple(steps))


def test_an_arrow_is_drawn_before_the_step_that_it_leads_to() -> None:
    assert dict(find_arrows(told(3, None, None, None))) == {3: [Arrow(0, 3, "from 0")]}


def test_arrows_to_one_step_come_in_the_order_of_their_sources() -> None:
    assert [arrow.source for arrow in find_arrows(told(2, 2, None))[2]] == [0, 1]


def test_an_arrow_back_in_time_is_drawn_where_it_leaves() -> None:
    assert dict(find_arrows(told(None, 0))) == {1: [Arrow(1, 0, "from 1")]}


def test_what_arrives_in_parts_has_an_arrow_for_each() -> None:
    first = Step(0, "write(3) = 3", 0.0, to=1, arrow="t", further=((2, "wo"), (99, "nowhere")))
    story = Story("", (Lifeline("a"), Lifeline("b")), (first, Step(1, "read", 0.0), Step(1, "read", 0.0)))
    assert dict(find_arrows(story)) == {1: [Arrow(0, 1, "t")], 2: [Arrow(0, 2, "wo")]}


@pytest.mark.parametrize("nowhere", [0, 1, -1, 99])
def test_an_arrow_that_leads_nowhere_is_left_out(nowhere: int) -> None:
    assert dict(find_arrows(told(nowhere))) == {}


def called(*calls: tuple[int, str, Outcome]) -> Story:
    return Story(
        "", (Lifeline("a"), Lifeline("b")), tuple(Step(line, text, 0.0, its) for line, text, its in calls)
    )


@pytest.mark.parametrize(
    ("ending", "returned"),
    [
        ("accept(3) = 5  (waited 9 ms)", {0: 2}),
        ("accept(3) = -1 EINVAL", {0: 2}),
        ("accept(3) …", {}),
        ("accept(4) = 5", {}),
    ],
)
@pytest.mark.parametrize("sign", ["…", "..."])
def test_a_wait_lasts_until_the_same_call_returns(ending: str, sign: str, returned: dict[int, int]) -> None:
    story = called(
        (0, f"accept(3) {sign}", Outcome.WAITED),
        (1, "accept(3) = 9", Outcome.DONE),
        (0, ending.replace("…", sign), Outcome.WAITED),
    )
    assert dict(find_waits(story)) == returned


def test_a_note_that_ends_in_dots_is_no_wait() -> None:
    assert find_waits(called((0, "x …", Outcome.NOTE), (0, "x", Outcome.DONE))) == {}


@pytest.mark.parametrize(
    ("begins", "found"), [(None, {}), (0, {}), (1, {1: [1]}), (2, {2: [1]}), (3, {2: [1]}), (9, {})]
)
def test_a_life_line_begins_no_later_than_its_first_step(
    begins: int | None, found: dict[int, list[int]]
) -> None:
    lines = (Lifeline("a"), Lifeline("b", begins=begins))
    steps = tuple(Step(line, "x", 0.0) for line in (0, 0, 1, 0))
    assert dict(find_births(Story("", lines, steps))) == found
