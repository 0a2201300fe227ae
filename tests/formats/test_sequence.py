"""A story in a terminal: all of it is there, at any width, and what leads to what can be seen."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stories import CLIENT, EMPTY, FIVE_LINES, HOSTILE, SECOND, SERVER, STORIES, TWO_CLIENTS, WAITING

from afunix.formats.canvas import Line
from afunix.formats.columns import display_width
from afunix.formats.sequence import needed_width, render
from afunix.formats.sequence_words import KEY, SIGNS, STYLES
from afunix.model.escaping import escape
from afunix.model.sequence import Lifeline, Outcome, Step, Story

WIDTHS = (20, 40, 80, 100, 132, 200)


def plain(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def draw(story: Story, width: int = 80, *, times: bool = False) -> str:
    return "\n".join(plain(render(story, width=width, times=times)))


def tell(*steps: Step, lines: tuple[Lifeline, ...] = (SERVER, CLIENT)) -> Story:
    return Story("a story", lines, steps)


def test_a_connection_looks_like_this() -> None:
    story = tell(
        Step(0, "listen(3, 5)", 0.0, inside=("accept queue 0 of 5",)),
        Step(1, 'connect(4, "hello.sock")', 0.0013, to=2, arrow="connection"),
        Step(0, "accept(3) = 5", 0.0021),
        Step(0, "close(5)", 0.01, to=4, arrow="end of file"),
        Step(1, "read(4) = 0 (end of file)", 0.9, Outcome.WAITED),
        Step(1, "write(4) = -1 EPIPE", 1.2, Outcome.FAILED),
    )
    assert draw(story, times=True).split("\n") == [
        "a story",
        "",
        "        ╭──────────╮                  ╭──────────╮",
        "        │ server   │                  │ client 1 │",
        "        │ pid 4121 │                  │ pid 4122 │",
        "        ╰─┬────────╯                  ╰─┬────────╯",
        "          │                             │",
        "   +0 µs  ● listen(3, 5)                │",
        "          │ ▏ accept queue 0 of 5       │",
        ' +1.3 ms  │                            ╭● connect(4, "hello.sock")',
        "          │◀─────── connection ────────╯│",
        " +2.1 ms  ● accept(3) = 5               │",
        "+10.0 ms  ●╮ close(5)                   │",
        "          │╰─────── end of file ───────▶│",
        " +900 ms  │                             ○ read(4) = 0 (end of file)",
        " +1.20 s  │                             ✗ write(4) = -1 EPIPE",
        "          ╵                             ╵",
        "          ○ waited   ✗ failed",
    ]


def test_arrows_that_leave_one_line_before_they_arrive_go_down_beside_it() -> None:
    story = tell(
        Step(1, "write(3) = 6", 0.0, to=2, arrow="6 bytes"),
        Step(1, "shutdown(3, SHUT_WR)", 0.0, to=3, arrow="end of file"),
        Step(0, "read(5) = 6", 0.0),
        Step(0, "read(5) = 0", 0.0),
    )
    assert draw(story).split("\n")[7:13] == [
        "  │                            ╭● write(3) = 6",
        "  │                            ├● shutdown(3, SHUT_WR)",
        "  │◀───────── 6 bytes ─────────┤│",
        "  ● read(5) = 6                ╎│",
        "  │◀─────── end of file ───────╯│",
        "  ● read(5) = 0                 │",
    ]


def test_an_arrow_crosses_the_life_lines_between() -> None:
    story = tell(Step(0, "a", 0, to=1, arrow="far"), Step(2, "b", 0), lines=(SERVER, CLIENT, SECOND))
    (arrow,) = (line for line in draw(story, 200).split("\n") if "▶" in line)
    assert arrow.count("┼") == 1
    assert " far " in arrow


def test_an_arrow_on_one_life_line_says_what_it_carries() -> None:
    assert "╰▸ to itself" in draw(
        tell(Step(0, "write(3) = 1", 0, to=1, arrow="to itself"), Step(0, "read(3) = 1", 0))
    )


def test_a_long_label_takes_all_that_the_arrow_crosses() -> None:
    label = "219,264 bytes, as many as fit"
    story = tell(
        Step(2, 'connect(6, "hello.sock") or something as long', 0, to=1, arrow=label),
        Step(0, "read(7, 65536) = 65536", 0),
        lines=(SERVER, CLIENT, SECOND),
    )
    assert f" {label} " in draw(story)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_no_line_is_wider_than_the_terminal(story: Story, width: int) -> None:
    lines = draw(story, width, times=True).split("\n")
    assert [line for line in lines if display_width(line) > width] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("story", [TWO_CLIENTS, FIVE_LINES], ids=["two clients", "five lines"])
def test_every_call_label_and_fact_is_there_in_whole(story: Story, width: int) -> None:
    shown = [
        re.sub(r"[\W_]+", "", "".join(text for line in render(story, width=width, times=False)
                                      for text, its in line if its in styles))
        for styles in (("call", "waited", "failed", "note"), ("arrow",), ("inside",))
    ]  # fmt: skip
    for step in story.steps:
        for place, texts in enumerate(((step.text,), (step.arrow,), step.inside)):
            for text in texts:
                assert re.sub(r"[\W_]+", "", text) in shown[place]


def test_at_200_columns_nothing_of_the_main_story_is_wrapped() -> None:
    drawing = draw(TWO_CLIENTS, 200)
    assert [step.text for step in TWO_CLIENTS.steps if step.text not in drawing] == []


@pytest.mark.parametrize(
    ("outcome", "style"),
    [
        (Outcome.DONE, "call"),
        (Outcome.WAITED, "waited"),
        (Outcome.FAILED, "failed"),
        (Outcome.NOTE, "note"),
    ],
)
def test_an_outcome_is_told_by_its_sign_as_well_as_by_its_style(outcome: Outcome, style: str) -> None:
    (line,) = (
        line
        for line in render(tell(Step(0, "a call", 0, outcome)), width=80, times=False)
        if "a call" in str(line)
    )
    assert [text for text, its in line if its == style] == [SIGNS[outcome], "a call"]


def test_signs_differ() -> None:
    assert len(set(SIGNS.values())) == len(Outcome)


def test_the_key_names_only_the_signs_that_occur() -> None:
    drawing = draw(tell(Step(0, "a call", 0, Outcome.FAILED)))
    assert f"{SIGNS[Outcome.FAILED]} {KEY[Outcome.FAILED]}" in drawing
    assert KEY[Outcome.WAITED] not in drawing


def test_times_are_drawn_only_if_asked_for() -> None:
    assert "+13.1 ms" in draw(TWO_CLIENTS, times=True)
    assert not re.search(r"\d (µs|ms|s)\b", draw(TWO_CLIENTS, times=False))


def test_without_times_the_same_calls_make_the_same_drawing() -> None:
    later = Story("a story", (SERVER,), (Step(0, "a call", 99.0),))
    assert draw(later) == draw(tell(Step(0, "a call", 0.5), lines=(SERVER,)))


@pytest.mark.parametrize("width", [70, 80, 90, 120])
def test_a_text_does_not_touch_the_arrow_that_goes_down_beside_the_next_line(width: int) -> None:
    story = tell(Step(1, "write(3) = 6", 0.0, to=2), Step(0, "a" * 60, 0.0), Step(0, "x", 0.0))
    drawing = draw(story, width)
    assert "a ╎│" in drawing
    assert "a╎" not in drawing


def test_one_write_may_fill_two_reads() -> None:
    story = tell(
        Step(1, "write(3) = 6", 0.0, to=1, arrow="4 bytes", further=((2, "2 bytes"),)),
        Step(0, "read(5) = 4", 0.0),
        Step(0, "read(5) = 2", 0.0),
    )
    assert draw(story).split("\n")[7:12] == [
        "  │                            ╭● write(3) = 6",
        "  │◀───────── 4 bytes ─────────┤│",
        "  ● read(5) = 4                ╎│",
        "  │◀───────── 2 bytes ─────────╯│",
        "  ● read(5) = 2                 │",
    ]


def test_a_call_that_waited_is_one_bar_from_its_beginning_to_its_return() -> None:
    story = tell(
        Step(0, "accept(3) …", 0, Outcome.WAITED, inside=("accept queue 0 of 5",)),
        Step(1, "connect(4)", 0),
        Step(0, "accept(3) = 5  (waited 9 ms)", 0, Outcome.WAITED),
        Step(0, "close(5)", 0),
    )
    assert [line[2] for line in draw(story).split("\n")[7:12]] == ["○", "┃", "┃", "○", "●"]


def test_a_life_line_that_begins_later_has_its_head_and_its_line_from_there_on() -> None:
    rows = draw(WAITING, 100).split("\n")
    begins = next(number for number, row in enumerate(rows) if "accepted" in row)
    assert "accepted" not in "".join(rows[:begins])
    column = rows[begins + 3].index("│", rows[begins + 1].rindex("│", 0, -1))
    assert {row[column : column + 1].strip() for row in rows[2 : begins - 1]} == {""}
    assert rows[begins + 2].rstrip().endswith("╯")
    assert "connection" in rows[begins + 4]


def test_notes_are_sentences_below_the_drawing() -> None:
    assert draw(WAITING, 100).split("\n")[-3:] == ["", *WAITING.notes]


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("story", [TWO_CLIENTS, FIVE_LINES, WAITING])
def test_it_is_a_list_only_where_it_is_too_narrow_for_life_lines(story: Story, *, times: bool) -> None:
    needed = needed_width(story, times=times)
    assert "╭─" in "".join(plain(render(story, width=needed, times=times)))
    assert "╭─" not in "".join(plain(render(story, width=needed - 1, times=times)))


@pytest.mark.parametrize("width", range(37, 80))
def test_a_call_stands_right_of_its_life_line(width: int) -> None:
    """To its left it would be read as the other's."""
    story = tell(Step(1, 'connect(3, "/tmp/afunix-demo-k2/hello.sock")', 0), Step(0, "accept(3) = 5", 0))
    (row,) = (row for row in draw(story, width).split("\n") if "connect(3" in row)
    assert re.fullmatch(r"  │ +● connect\(3,.*", row)


@pytest.mark.parametrize("width", [1, 20, 80, 200])
def test_hostile_texts_reach_the_terminal_escaped(width: int) -> None:
    for line in plain(render(HOSTILE, width=width, times=True)):
        assert escape(line) == line


@pytest.mark.parametrize("story", EMPTY)
def test_a_story_without_steps_is_drawn(story: Story) -> None:
    assert story.title in draw(story, times=True)


def test_every_style_word_is_known() -> None:
    used = {
        style
        for story in STORIES.values()
        for line in render(story, width=80, times=True)
        for _, style in line
    }
    assert used == set(STYLES)


@given(st.data())
def test_any_story_can_be_drawn(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    indices = st.integers(-1, 6)
    steps = st.builds(
        Step,
        st.integers(0, count - 1),
        st.text(max_size=60),
        st.floats(0, 9999),
        st.sampled_from(Outcome),
        st.none() | indices,
        st.text(max_size=40),
        st.lists(st.text(max_size=40), max_size=2).map(tuple),
    )
    story = Story("title", (SERVER,) * count, tuple(data.draw(st.lists(steps, max_size=6))))
    lines = draw(story, 80, times=True).split("\n")
    assert max(map(display_width, lines)) <= 80
