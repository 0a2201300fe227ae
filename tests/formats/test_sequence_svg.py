"""A story as an SVG: well formed, complete, and safe whatever is told. How it looks is test_sequence_picture's."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stories import CLIENT, EIGHT_ARROWS, EMPTY, HOSTILE, SECOND, SERVER, STORIES, TWO_CLIENTS, WAITING

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


@pytest.mark.parametrize("count", [2, 4, 8])
def test_each_of_many_has_a_track_and_texts_begin_beyond_them(count: int) -> None:
    steps = [Step(0, "write", 0, to=number + count) for number in range(count)] + [Step(1, "read", 0)] * count
    root = parse(Story("", (SERVER, CLIENT), tuple(steps)))
    tracks = {float(re.findall(r"H([\d.]+)q", way)[0]) for way in ways_of(root)}
    begins = [float(e.get("x", "")) for e in root.iter(f"{SVG}text") if e.text == "write"]
    assert len(tracks) == count
    assert max(tracks) + 10 < min(begins)


def ways_of(root: ElementTree.Element) -> list[str]:
    paths = root.iter(f"{SVG}path")
    return [element.get("d", "") for element in paths if "path" in element.get("class", "").split()]


def test_a_title_is_torn_nowhere_and_the_picture_is_wide_enough_for_it() -> None:
    title = "afunix serve hello.sock, and 2 times afunix connect hello.sock"
    root = parse(Story(title, (SERVER,), (Step(0, "x", 0),)))
    assert texts(root, "title") == [title]
    longer = parse(Story(f"{title}; {title}", (SERVER,)))
    assert texts(longer, "title") == [f"{title};", title]
    assert float(longer.get("width", "")) < 1200


def test_the_question_is_said_below_the_title_and_notes_below_the_drawing() -> None:
    root = parse(WAITING)
    assert texts(root, "question") == [WAITING.question]
    *_, first, second = texts(root)
    assert (first, second) == WAITING.notes
    assert texts(parse(TWO_CLIENTS), "question") == []


def test_a_call_that_waited_is_a_bar_from_its_beginning_to_its_return() -> None:
    root = parse(WAITING)
    (bar,) = (e.get("d", "") for e in root.iter(f"{SVG}path") if e.get("class") == "wait")
    signs = [e.get("d", "") for e in root.iter(f"{SVG}path") if "waited-sign" in e.get("class", "")]
    heights = [float(sign.split()[1].partition("a")[0]) for sign in signs[:2]]
    assert list(map(float, re.findall(r"[\d.]+", bar)[1:])) == heights
    assert not [e for e in parse(TWO_CLIENTS).iter(f"{SVG}path") if e.get("class") == "wait"]


def test_a_life_line_that_begins_later_has_its_head_there() -> None:
    tops = [float(e.get("y", "")) for e in parse(WAITING).iter(f"{SVG}rect") if "head" in e.get("class", "")]
    assert tops[0] == tops[1] < tops[2]
    lines = re.findall(r'd="M[\d.]+ ([\d.]+)V', render_lines(parse(WAITING)))
    assert float(lines[0]) < tops[2] < float(lines[2])


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
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            *("svg", "title", "desc", "style", "rect", "path", "circle", "text", "g"),
        }
        names = {name for element in root.iter() for name in element.attrib}
        assert not {name for name in names if name.startswith("on") or "href" in name}


def test_as_many_life_lines_as_demo_draws_have_as_many_colours() -> None:
    heads = [element.get("class") for element in parse(EIGHT_ARROWS).iter(f"{SVG}rect")]
    assert len({style for style in heads if style and style.startswith("head")}) == 9


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


def test_one_write_may_fill_two_reads() -> None:
    steps = (Step(1, "write", 0, to=1, arrow="4", further=((2, "2"),)), Step(0, "a", 0), Step(0, "b", 0))
    root = parse(Story("", (SERVER, CLIENT), steps))
    assert len(ways_of(root)) == 2
    assert texts(root, "label") == ["4", "2"]
    assert "4 to server; 2 to server" in (root.findtext(f"{SVG}desc") or "")
