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

PRINTF = "\"$(printf '%s')\""


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/run/app.sock", "/run/app.sock"),
        ("/run/a b", "'/run/a b'"),
        ("it's", """'it'"'"'s'"""),
        ("$(reboot)", "'$(reboot)'"),
        ("a\n\x1b[2J", PRINTF % r"a\012\033[2J"),
        (b"\xff'\\%!", PRINTF % r"\377\047\134\045\041"),
        ("-\t", PRINTF % r"\055\011"),
        ("\t\n", r"$'\011\012'"),
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
@given(
    st.sampled_from(["sh", "bash"]),
    st.binary(min_size=1, max_size=40).filter(lambda raw: b"\0" not in raw and not raw.endswith(b"\n")),
)
def test_every_shell_reads_back_the_very_bytes(shell: str, raw: bytes) -> None:
    word = shell_word(raw)
    assert read_by(shell, word) == raw
    assert escape(word) == word
    assert os.fsencode(word).isascii() or word.startswith(("'", '"')) or word == raw.decode()


@pytest.mark.parametrize("name", [b"new\nline", b"-x\t", b"\xff\xfe", b"50%\n\\n'\"`$x", b"\0011", b"!\r!"])
def test_a_shell_without_more_than_posix_reads_back_the_very_bytes(name: bytes) -> None:
    assert read_by("sh", shell_word(name)) == name


def test_newlines_at_the_end_are_kept_by_those_that_can() -> None:
    assert read_by("bash", shell_word(b"\n\n")) == b"\n\n"


def read_by(shell: str, word: str) -> bytes:
    program = "/bin/sh" if shell == "sh" else require(shell)
    return subprocess.run([program, "-c", f"printf %s {word}"], capture_output=True, check=True).stdout
