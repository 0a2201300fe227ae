"""tap's text: what was said, line by line behind a mark, and nothing in it that a terminal obeys."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.columns import display_width
from afunix.formats.tap_lines import TapLines
from afunix.formats.tap_text import TapText, cut, show_text
from afunix.formats.text import TerminalText
from afunix.model.tapped import Beginning, Over, Said, SaidAll, Side

STREAM = Beginning("/run/app.sock", "stream", 0)
DATA = st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
MIXED = st.lists(
    st.one_of(st.binary(max_size=5), st.sampled_from([b"\r\n", "é€😀".encode(), b"a\tb", b"\x1b[2J"]))
)


def body(
    data: bytes, side: Side = Side.CLIENT, *, max_bytes: int | None = None, width: int | None = None
) -> list[str]:
    """The lines under the one of the event."""
    event = Said(1, 0.0, side, data)
    shown = TapText(STREAM, max_bytes=max_bytes, width=width).render(event)
    return shown.removeprefix(TapLines(width=width).event(event)).decode("utf-8").split("\n")[:-1]


def test_each_line_stands_behind_a_mark() -> None:
    assert body(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == [" > GET / HTTP/1.1^M", " > Host: a^M", " > ^M"]
    assert body(b"one\ntwo", Side.SERVER) == [" < one", " < two"]


def test_an_empty_message_is_only_its_line() -> None:
    assert body(b"") == [] and body(b"\n") == [" > "]


def test_other_events_are_their_line() -> None:
    view = TapText(STREAM)
    assert view.render(SaidAll(1, 0.0, Side.CLIENT)).endswith(b"half-closed\n")
    assert view.render(Over(1, 0.0)).endswith(b"closed\n")


@given(MIXED.map(b"".join) | DATA)
def test_text_is_escaped_as_everywhere(data: bytes) -> None:
    assert show_text(data) == TerminalText().show(data, final=True)


@pytest.mark.parametrize(
    "data", [b"\0" * 100 + b"a", b"\r" * 100 + "é".encode(), bytes(range(128)), b"\xff" * 99]
)
def test_much_that_is_no_text_is_escaped_too(data: bytes) -> None:
    assert show_text(data) == TerminalText().show(data, final=True)


@given(MIXED.map(b"".join), st.integers(1, 12))
def test_every_line_of_what_was_said_begins_with_a_space_and_fits(data: bytes, width: int) -> None:
    for line in body(data, width=width):
        assert line.startswith((" > ", "   "))
        # One has to be somewhere, with the marks that it bears.
        is_one_character = sum(display_width(character) > 0 for character in line[len(" > ") :]) <= 1
        assert display_width(line.replace("\t", "t" * 8)) <= width or is_one_character


@given(MIXED.map(b"".join), st.integers(4, 12))
def test_folding_loses_nothing(data: bytes, width: int) -> None:
    folded = "\n".join(body(data, width=width)).replace("\n   ", "")
    assert folded == "\n".join(body(data))


def test_what_is_folded_is_continued_without_a_mark() -> None:
    assert body(b"abcdefgh\nij", width=7) == [" > abcd", "   efgh", " > ij"]
    assert body("日本語".encode(), width=7) == [" > 日本", "   語"]
    assert body(b"a\tb", width=11) == [" > a", "   \t", "   b"]


def test_of_a_long_message_the_beginning_is_shown_and_the_rest_counted() -> None:
    assert body(b"x" * 1240, max_bytes=6) == [" > xxxxxx", " > … 1,234 more bytes"]
    assert body(b"xxxxxx", max_bytes=6) == [" > xxxxxx"]
    assert body(b"xxxxxx", max_bytes=0) == []


def test_no_character_is_cut_in_two() -> None:
    assert body("a€b".encode(), max_bytes=3) == [" > a", " > … 4 more bytes"]
    assert body("€".encode(), max_bytes=1) == [" > … 3 more bytes"]


@given(st.text().map(str.encode), st.integers(0, 50))
def test_what_is_cut_from_text_is_text(data: bytes, limit: int) -> None:
    kept = cut(data, limit)
    assert data.startswith(kept) and len(kept) <= limit
    assert len(kept) > limit - 4 or kept == data
    kept.decode("utf-8")


@given(st.binary(), st.integers(0, 50))
def test_of_what_is_no_text_at_most_a_character_less_is_kept(data: bytes, limit: int) -> None:
    assert min(len(data), limit) - 4 < len(cut(data, limit)) <= limit
    assert cut(data, None) == data


def test_only_the_mark_and_the_line_have_a_colour() -> None:
    shown = TapText(STREAM, colour=True).render(Said(1, 0.0, Side.CLIENT, b"a\nb")).splitlines()
    assert shown[1:] == [b"\x1b[36m > \x1b[ma", b"\x1b[36m > \x1b[mb"]
    plain = TapText(STREAM).render(Said(1, 0.0, Side.CLIENT, b"a\nb")).splitlines()
    assert [re.sub(rb"\x1b\[\d*m", b"", line) for line in shown] == plain
