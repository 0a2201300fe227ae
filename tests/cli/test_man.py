"""`afunix man`: roff for a file, man(1) for a terminal."""

from __future__ import annotations

from tests.program import run

from afunix.cli import manpage


def test_a_pipe_is_given_the_source() -> None:
    ended = run("man")
    assert (ended.status, ended.out.decode()) == (0, manpage.render())
