"""A client's bytes on a terminal: harmless, readable, and the same however they arrive."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.text import TerminalText

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
TRICKY = st.sampled_from(["é", "\u202e", "\x9b", "\x1b[", "𝄞", "\n", "a"]).map(str.encode)
BROKEN = st.sampled_from(
    [b"\xc3", b"\xe2\x80", b"\xf0\x9d\x84", b"\x80", b"\xff", b"\xed\xa0\x80", b"\xc0\x8a"]
)
CHUNKS = st.lists(st.one_of(st.binary(max_size=5), TRICKY, BROKEN))


def show(chunks: list[bytes]) -> bytes:
    text = TerminalText()
    return b"".join(text.show(chunk) for chunk in chunks) + text.show(b"", final=True)


@given(CHUNKS)
def test_nothing_that_a_terminal_obeys_gets_through(chunks: list[bytes]) -> None:
    assert not OBEYED.search(show(chunks).decode("utf-8"))


@given(CHUNKS)
def test_what_is_shown_does_not_depend_on_how_the_bytes_arrived(chunks: list[bytes]) -> None:
    sent = b"".join(chunks)
    assert show(chunks) == show([sent]) == show([bytes([byte]) for byte in sent])


@given(CHUNKS)
def test_at_most_three_bytes_wait_for_the_rest_of_their_character(chunks: list[bytes]) -> None:
    text, sent, shown = TerminalText(), b"".join(chunks), b""
    for chunk in chunks:
        shown += text.show(chunk)
    assert any(show([sent[: len(sent) - held]]) == shown for held in range(4))


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    assert show([text.encode()]) == text.encode()


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"a\tb\nc\n", b"a\tb\nc\n"),
        (b"\x1b]0;x\x07\r", b"^[]0;x^G^M"),
        (b"\x7f", b"^?"),
        ("\x9b".encode(), b"\\u009b"),
        ("\u202e".encode(), b"\\u202e"),
        (b"\xff\xfe", b"\\xff\\xfe"),
        (b"\xc3", b"\\xc3"),
        ("é☃".encode(), "é☃".encode()),
    ],
)
def test_bytes_are_shown(sent: bytes, shown: bytes) -> None:
    assert show([sent]) == shown


def test_a_character_in_two_arrivals_is_shown_when_it_is_whole() -> None:
    text = TerminalText()
    assert text.show(b"a\xc3") == b"a"
    assert text.show(b"\xa9") == "é".encode()


def test_one_clients_unfinished_character_is_not_finished_by_another() -> None:
    ana, ben = TerminalText(), TerminalText()
    assert (ana.show(b"\xc3"), ben.show(b"\xa9")) == (b"", b"\\xa9")
    assert ana.show(b"", final=True) == b"\\xc3"
