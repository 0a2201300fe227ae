"""`afunix fd`: help, and its two commands in the manual and in completion."""

from __future__ import annotations

from tests.cli.test_completion import completed
from tests.program import run

from afunix.cli import manpage


def test_alone_it_is_help() -> None:
    ended = run("fd")
    assert ended.status == 0
    assert b"  receive  Take descriptors" in ended.out


def test_another_word_is_refused() -> None:
    ended = run("fd", "pass")
    assert (ended.status, ended.err.splitlines()[0]) == (
        2,
        "afunix: error: there is no command 'fd pass': expected send or receive",
    )


def test_both_are_in_the_manual() -> None:
    page = manpage.render()
    assert ".SS afunix fd send\n" in page
    assert ".B afunix fd receive\n[\\fIOPTIONS\\fR] ADDRESS [\\-\\- CMD…]\n" in page


def test_both_are_completed() -> None:
    assert completed("afunix fd ") == ["plain,send", "plain,receive"]
    assert "plain,--read-write" in completed("afunix fd send --read")
