"""A drawing in ASCII: every cell in its place, and everything still told apart."""

from __future__ import annotations

import re

import pytest
from tests.stories import STORIES, WAITING

from afunix.formats.ascii_form import exchange, spell, spell_story
from afunix.formats.sequence import render
from afunix.formats.sequence_words import SIGNS
from afunix.model.sequence import Lifeline, Step, Story


def drawn(story: Story, width: int = 80) -> list[str]:
    lines = exchange(render(spell_story(story), width=width, times=True))
    return ["".join(text for text, _ in line) for line in lines]


@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_nothing_but_ascii_is_left_and_no_line_is_wider(story: Story, width: int) -> None:
    lines = drawn(story, width)
    assert all(line.isascii() and line.isprintable() and len(line) <= width for line in lines)


def test_nothing_that_is_drawn_has_no_likeness() -> None:
    """A cell that is not known would be a question mark."""
    cells = {text for line in render(spell_story(WAITING), width=80, times=True) for text, _ in line}
    told = "".join(cells).count("?")
    assert "".join(drawn(WAITING)).count("?") == told


def test_signs_are_told_apart() -> None:
    shown = exchange([[(sign, "")] for sign in SIGNS.values()])
    assert len({line[0][0] for line in shown}) == len(SIGNS)


def test_a_wait_is_still_a_bar() -> None:
    column = "".join(line[10:11] for line in drawn(WAITING, 100))
    assert re.search("w#+w", column)


def test_arrows_have_heads_and_corners() -> None:
    (arrow,) = (line for line in drawn(WAITING, 100) if "connection" in line)
    assert arrow.rstrip("| ").endswith("->")
    assert "'---" in arrow


@pytest.mark.parametrize(
    ("text", "spelled"), [("accept(3) …", "accept(3) ..."), ("4 µs × 2 → 8", "4 us x 2 -> 8"), ("é", "\\xe9")]
)
def test_texts_are_spelled(text: str, spelled: str) -> None:
    assert spell(text) == spelled


def test_every_text_of_a_story_is_spelled() -> None:
    step = Step(0, "a…", 0, to=1, arrow="b…", inside=("c…",), further=((2, "d…"),))
    assert repr(spell_story(Story("e…", (Lifeline("f…", "g…"),), (step,), ("h…",), "i…"))).isascii()
