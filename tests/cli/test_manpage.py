"""The manual page says what the commands do, and man(1) can show it."""

from __future__ import annotations

import subprocess

from tests.peers import require

from afunix.cli import manpage
from afunix.cli.commands import COMMANDS


def test_every_command_is_in_it() -> None:
    page = manpage.render()
    assert all(f".SS afunix {name}\n" in page for name in COMMANDS)


def test_options_and_statuses_are_in_it() -> None:
    page = manpage.render()
    assert r"\-\-max\-line" in page
    assert ".SH EXIT STATUS\n.TP\n\\fB0\\fR\ndone" in page


def test_no_text_can_be_taken_for_a_request() -> None:
    assert manpage._escape(".so /etc/passwd") == r"\&.so /etc/passwd"
    assert manpage._escape(r"a\b-c") == r"a\eb\-c"


def test_man_formats_it_without_a_warning() -> None:
    done = subprocess.run(
        [require("man"), "--warnings", "-l", "-"],
        input=manpage.render().encode(),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert not done.stderr
    assert b"AFUNIX(1)" in done.stdout
