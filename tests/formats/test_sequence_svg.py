"""A story as an SVG: well formed, complete, and safe whatever is told. How it looks is test_sequence_picture's."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stories import CLIENT, EMPTY, FIVE_LINES, HOSTILE, SECOND, SERVER, STORIES, TWO_CLIENTS

from afunix.formats.sequence_svg import render
from afunix.formats.svg_text import printable
from afunix.model.sequence import Lifeline, Outcome, Step, Story

SVG = "{http://www.w3.org/2000/svg}"


def parse(story: Story, *, times: bool = True) -> ElementTree.Element:
    return ElementTree.fromstring(render(story, times=times).encode())


def texts(root: ElementTree.Element, style: str = "") -> list[str]:
    found = (
        element
        for element in root.iter(f"{SVG}text")
        if style in element.get("class", "").split() or not style
    )
    return [element.text or "" for element in found]


def squeezed(words: str) -> str:
    return re.sub(r"\s", "", words)


@pytest.mark.parametrize("story", [*STORIES.values(), *EMPTY])
def test_it_is_a_document_of_one_picture_with_its_size(story: Story) -> None:
    root = parse(story)
    width, height = root.get("width"), root.get("height")
    assert (root.tag, root.get("viewBox")) == (f"{SVG}svg", f"0 0 {width} {height}")


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_every_name_call_label_and_fact_is_in_it(story: Story) -> None:
    shown = squeezed("".join(texts(parse(story))))
    told = [story.title, *(text for line in story.lifelines for text in (line.name, line.detail))]
    told += [text for step in story.steps for text in (step.text, *step.inside)]
    told += [step.arrow for number, step in enumerate(story.steps) if step.to not in (None, number, 12, 13)]
    assert [text for text in told if squeezed(printable(text)) not in shown] == []


def test_text_that_is_not_too_long_is_one_text() -> None:
    assert {step.text for step in TWO_CLIENTS.steps} <= set(texts(parse(TWO_CLIENTS)))


def test_spaces_within_a_text_are_kept() -> None:
    root = parse(Story("", (SERVER,), (Step(0, "accept(3) = 5  pid 4122", 0),)))
    assert root.get("{http://www.w3.org/XML/1998/namespace}space") == "preserve"
    assert "accept(3) = 5  pid 4122" in texts(root)


def test_times_are_drawn_only_if_asked_for() -> None:
    moment = re.compile(r"\+\d")
    assert len(list(filter(moment.match, texts(parse(TWO_CLIENTS))))) == len(TWO_CLIENTS.steps)
    assert not list(filter(moment.match, texts(parse(TWO_CLIENTS, times=False))))


def test_without_times_the_same_calls_make_the_same_picture() -> None:
    one, other = (Story("a story", (SERVER,), (Step(0, "a call", at),)) for at in (0.5, 99.0))
    assert render(one, times=False) == render(other, times=False)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_outcome_is_told_by_a_form_of_its_own(outcome: Outcome) -> None:
    def forms(outcome: Outcome) -> list[tuple[str, str | None]]:
        root = parse(Story("", (SERVER,), (Step(0, "a call", 0, outcome),)))
        return [(element.tag, element.get("d")) for element in root.iter() if element.tag != f"{SVG}text"]

    assert [forms(other) for other in Outcome].count(forms(outcome)) == 1


def test_the_key_explains_the_signs_that_occur() -> None:
    assert texts(parse(TWO_CLIENTS), "key") == ["waited", "failed", "what the kernel holds"]
    assert texts(parse(Story("", (SERVER,), (Step(0, "a call", 0),))), "key") == []


def test_who_cannot_see_it_is_told_the_story() -> None:
    root = parse(TWO_CLIENTS)
    description = root.findtext(f"{SVG}desc") or ""
    assert (root.get("role"), root.findtext(f"{SVG}title")) == ("img", TWO_CLIENTS.title)
    assert (
        "client 1: write(3) = 6; 6 bytes to server; inode 81234 ⇄ 81235, receive queue 6 bytes" in description
    )
    assert "client 2: write(3) = -1 EPIPE; failed" in description


def test_arrows_that_are_on_their_way_together_are_not_drawn_on_each_other() -> None:
    steps = [Step(1, "write", 0, to=number + 3) for number in range(3)] + [Step(0, "read", 0)] * 3
    root = parse(Story("", (SERVER, CLIENT), tuple(steps)))
    ways = [
        element.get("d", "")
        for element in root.iter(f"{SVG}path")
        if "path" in element.get("class", "").split()
    ]
    assert len({re.findall(r"H([\d.]+)q", way)[0] for way in ways}) == 3


def test_an_arrow_to_another_line_ends_there() -> None:
    root = parse(Story("", (SERVER, CLIENT, SECOND), (Step(0, "a", 0, to=1), Step(2, "b", 0))))
    (way,) = (
        element.get("d", "")
        for element in root.iter(f"{SVG}path")
        if "path" in element.get("class", "").split()
    )
    life = [float(x) for x in re.findall(r'class="line" d="M([\d.]+)', render_lines(root))]
    assert life[2] - 20 < float(way.rpartition("H")[2]) < life[2]


def render_lines(root: ElementTree.Element) -> str:
    return "".join(
        f'class="line" d="{e.get("d")}' for e in root.iter(f"{SVG}path") if e.get("class") == "line"
    )


def test_nothing_in_it_runs_or_is_fetched() -> None:
    for story in STORIES.values():
        root = parse(story)
        assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
            *("svg", "title", "desc", "style", "rect", "path", "circle", "text", "g"),
        }
        names = {name for element in root.iter() for name in element.attrib}
        assert not {name for name in names if name.startswith("on") or "href" in name}


def test_five_life_lines_have_five_colours() -> None:
    heads = [element.get("class") for element in parse(FIVE_LINES).iter(f"{SVG}rect")]
    assert len({style for style in heads if style and style.startswith("head")}) == 5


@given(st.data())
def test_any_story_is_well_formed(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    text = st.text(st.characters(exclude_categories=()), max_size=40)
    steps = st.builds(
        Step,
        st.integers(0, count - 1),
        text,
        st.floats(0, 1e9),
        st.sampled_from(Outcome),
        st.none() | st.integers(-1, 6),
        text,
        st.lists(text, max_size=2).map(tuple),
    )
    lines = tuple(Lifeline(data.draw(text), data.draw(text)) for _ in range(count))
    parse(Story(data.draw(text), lines, tuple(data.draw(st.lists(steps, max_size=6)))))


def test_a_hostile_story_adds_no_element() -> None:
    harmless = Story("", HOSTILE.lifelines, ())
    assert "script" not in "".join(element.tag for element in parse(HOSTILE).iter())
    assert "script" not in "".join(element.tag for element in parse(harmless).iter())
