"""Text for a picture: what it carries is legal XML, and its room is enough."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stories import HOSTILE_TEXTS

from afunix.formats.svg_text import printable, set_bold, set_mono, set_title, to_xml


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text_is_the_text_of_one_element(text: str) -> None:
    element = ElementTree.fromstring(f"<a b='{to_xml(text)}'>{to_xml(text)}</a>")
    assert (element.text or "", element.get("b"), len(element)) == (printable(text), printable(text), 0)


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_legal_xml(text: str) -> None:
    document = f"<a>{to_xml(text)}</a>".encode()
    assert (ElementTree.fromstring(document).text or "") == printable(text)


def test_monospace_text_is_as_wide_as_its_widest_line() -> None:
    text = set_mono("one two three", 8, 10.0, 20.0)
    assert (text.lines, text.width, text.height) == (("one two", "three"), 70.0, 40.0)


def test_bold_text_keeps_to_its_room_whatever_its_letters() -> None:
    for letter in "iWm漢":
        assert set_bold(letter * 50, 200.0, 20.0, 28.0).width <= 200.0


def test_broad_letters_take_more_room_than_narrow_ones() -> None:
    assert len(set_bold("W" * 50, 200.0, 20.0, 28.0).lines) > len(set_bold("i" * 50, 200.0, 20.0, 28.0).lines)


def test_a_title_is_broken_between_its_clauses() -> None:
    title = set_title("afunix serve hello.sock, and twice afunix connect hello.sock", 600.0, 20.0, 28.0)
    assert title.lines == ("afunix serve hello.sock,", "and twice afunix connect hello.sock")
