"""A story where the terminal is too narrow for life lines: who calls what is said in words, and all of it is there."""

from __future__ import annotations

import re

import pytest
from tests.stories import STORIES, TWO_CLIENTS, WAITING

from afunix.formats.columns import display_width
from afunix.formats.sequence_list import render_list
from afunix.model.escaping import escape
from afunix.model.sequence import Story


def rows_of(story: Story, width: int, *, times: bool = True) -> list[str]:
    return ["".join(text for text, _ in line) for line in render_list(story, width=width, times=times)]


def squeezed(words: str) -> str:
    return re.sub(r"[\W_]+", "", words)


def test_with_some_room_a_call_stands_beside_its_name() -> None:
    assert rows_of(WAITING, 60)[8:14] == [
        "   +0 µs  server    ● listen(3, 1)",
        "+10.0 ms  server    ○ accept(3) …",
        "                    ▏ accept queue 0 of 1",
        ' +200 ms  client 1  ● connect(3, "hello.sock")',
        "                    → accepted: connection",
        " +200 ms  accepted  ◇ a descriptor of its own",
    ]


def test_with_little_room_a_call_stands_below_its_name() -> None:
    rows = rows_of(TWO_CLIENTS, 20)
    begin = rows.index("+13.3 ms  client 1")
    assert rows[begin + 1] == "● connect(3,"
    assert rows[begin - 1] == "    SOCK_STREAM) = 3"


def test_where_a_call_led_is_said() -> None:
    assert "→ server: 6 bytes" in rows_of(TWO_CLIENTS, 40)


def test_one_name_is_said_once_for_calls_at_the_same_moment() -> None:
    assert rows_of(TWO_CLIENTS, 20, times=False).count("server") == 4


@pytest.mark.parametrize("width", [20, 33, 40, 60, 80])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_all_of_it_is_there_and_no_line_is_too_wide(story: Story, width: int) -> None:
    rows = rows_of(story, width)
    assert max(map(display_width, rows)) <= width
    shown = squeezed("".join(rows))
    told = [story.title, *(text for line in story.lifelines for text in (line.name, line.detail))]
    told += [text for step in story.steps for text in (step.text, *step.inside)]
    told = [squeezed(escape(text)) for text in told + list(story.notes)]
    if story is not STORIES["hostile"]:
        assert [text for text in told if text not in shown] == []


@pytest.mark.parametrize("width", [20, 40])
def test_no_row_begins_with_a_comma(width: int) -> None:
    assert [row for row in rows_of(TWO_CLIENTS, width) if row.lstrip().startswith(",")] == []
