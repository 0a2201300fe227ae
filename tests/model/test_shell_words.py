"""A word that is pasted into a shell is the bytes that were meant, and shows nothing that a terminal would obey."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.peers import require

from afunix.model.address import Address
from afunix.model.escaping import escape
from afunix.model.shell_words import address_word, path_word, shell_line, shell_word


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/run/app.sock", "/run/app.sock"),
        ("/run/a b", "'/run/a b'"),
        ("it's", """'it'"'"'s'"""),
        ("$(reboot)", "'$(reboot)'"),
        ("a\n\x1b[2J", r"$'a\012\033[2J'"),
        (b"\xff'\\", r"$'\377\047\134'"),
        ("", "''"),
    ],
)
def test_words_are_quoted_where_they_must_be(word: str | bytes, written: str) -> None:
    assert shell_word(word) == written


def test_a_line_is_its_words() -> None:
    assert shell_line("rm", "a b", b"c") == "rm 'a b' c"


def test_no_path_is_taken_for_an_option() -> None:
    assert path_word(b"-rf") == "./-rf"
    assert address_word(Address.pathname("-x")) == "./-x"


def test_an_address_is_written_as_afunix_reads_it() -> None:
    assert address_word(Address.abstract("a b")) == "'@a b'"
    assert address_word(Address.pathname("@x")) == "./@x"


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=40).filter(lambda raw: b"\0" not in raw))
def test_bash_reads_back_the_very_bytes(raw: bytes) -> None:
    word = shell_word(raw)
    printed = subprocess.run(
        [require("bash"), "-c", f"printf %s {word}"], capture_output=True, check=True
    ).stdout
    assert printed == raw
    assert escape(word) == word
    assert os.fsencode(word).isascii() or word.startswith(("'", '"')) or word == raw.decode()
