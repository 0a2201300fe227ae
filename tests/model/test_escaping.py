"""Nothing that a terminal or a log would obey comes out, whatever goes in."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.model.escaping import escape, quote

BIDIRECTIONAL = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NAMES = st.one_of(
    st.binary(), st.text(st.characters()), st.text(st.sampled_from(BIDIRECTIONAL + "\x1b\x9b\n\ud800é"))
)


@given(NAMES)
def test_nothing_that_a_terminal_obeys_comes_out(name: str | bytes) -> None:
    shown = escape(name)
    shown.encode("utf-8")
    assert not any(unicodedata.category(char) == "Cc" or char in BIDIRECTIONAL for char in shown)
    assert len(shown.splitlines()) <= 1


@given(NAMES)
def test_what_is_escaped_stays_as_it_is_when_it_is_escaped_again(name: str | bytes) -> None:
    assert escape(escape(name)) == escape(name)


@given(
    st.text(
        st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"], exclude_characters=BIDIRECTIONAL)
    )
)
def test_everything_else_is_shown_as_it_is(name: str) -> None:
    assert escape(name) == name
    assert escape(name.encode()) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"", ""),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\u0645\u200c\u0645", "\u0645\u200c\u0645"),
        (b"app.sock", "app.sock"),
        (b"\0\t\n\r\x1b[2J\x1f", "^@^I^J^M^[[2J^_"),
        (b"\x7f", "^?"),
        ("\x80\x9b\x9f".encode(), "\\u0080\\u009b\\u009f"),
        ("\u202egnp.exe\u2069", "\\u202egnp.exe\\u2069"),
        ("a\u2028b", "a\\u2028b"),
        (b"caf\xe9\xff", "caf\\xe9\\xff"),
        ("\udce9", "\\xe9"),
        ("\ud800", "\\ud800"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        ("naïve ☃ 𝄞", "naïve ☃ 𝄞"),
    ],
)
def test_a_name_is_shown(name: str | bytes, shown: str) -> None:
    assert escape(name) == shown
    assert quote(name) == f"'{shown}'"
