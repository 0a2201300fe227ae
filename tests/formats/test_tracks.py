"""Arrows that are on their way at the same time go down on tracks of their own, and on no more than that takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.stories import CLIENT, EIGHT_ARROWS, SECOND, SERVER

from afunix.formats.tracks import find_side, lay_tracks
from afunix.model.sequence import Step, Story


def test_eight_at_once_are_on_eight_tracks_the_first_outermost() -> None:
    tracks = lay_tracks(EIGHT_ARROWS)
    assert {arrow.source: track for arrow, track in tracks.items()} == {
        index: 7 - index for index in range(8)
    }


def test_one_after_another_are_all_on_the_innermost() -> None:
    steps = [Step(index % 2, "x", 0, to=index + 1 if index % 2 == 0 else None) for index in range(8)]
    assert set(lay_tracks(Story("", (SERVER, CLIENT), tuple(steps))).values()) == {0}


def test_a_chain_in_which_two_at_a_time_are_on_their_way_takes_two() -> None:
    leaving = [Step(0, "x", 0, to=index + 3) for index in range(0, 40, 2)]
    steps = [leaving[index // 2] if index % 2 == 0 else Step(1, "y", 0) for index in range(40)]
    assert set(
        lay_tracks(Story("", (SERVER, CLIENT), (*steps, Step(1, "y", 0), Step(1, "y", 0)))).values()
    ) == {0, 1}


def test_the_two_sides_of_a_line_do_not_hinder_each_other() -> None:
    steps = (Step(1, "a", 0, to=2), Step(1, "b", 0, to=3), Step(0, "c", 0), Step(2, "d", 0))
    story = Story("", (SERVER, CLIENT, SECOND), steps)
    assert set(lay_tracks(story).values()) == {0}
    assert [find_side(story, arrow) for arrow in lay_tracks(story)] == [-1, 1]


def test_two_arrows_of_one_step_go_down_beside_each_other_the_longer_inside() -> None:
    steps = (Step(1, "write", 0, to=1, further=((2, "rest"),)), Step(0, "read", 0), Step(0, "read", 0))
    tracks = lay_tracks(Story("", (SERVER, CLIENT), steps))
    assert {arrow.target: track for arrow, track in tracks.items()} == {1: 1, 2: 0}


@given(st.lists(st.none() | st.integers(0, 20), max_size=20))
def test_none_lies_on_another(goals: list[int | None]) -> None:
    story = Story("", (SERVER, CLIENT), tuple(Step(0, "x", 0, to=to) for to in goals))
    tracks = lay_tracks(story)
    for one, track in tracks.items():
        beside = [its for other, its in tracks.items() if one.source < other.source < one.target]
        assert track not in beside
