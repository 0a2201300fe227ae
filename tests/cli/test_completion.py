"""The completion scripts: each shell takes its own, and they offer what the commands offer."""

from __future__ import annotations

import subprocess

import pytest
from tests.peers import require
from tests.program import environment, run


def completed(line: str) -> list[str]:
    """What is offered for the last word of `line`."""
    words = {"_AFUNIX_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    return run(env=environment(**words)).out.decode().split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_reads_its_script(shell: str) -> None:
    path = require(shell)
    script = run("completion", shell).out
    assert script
    assert subprocess.run([path, "-n"], input=script, capture_output=True, timeout=30).returncode == 0


def test_options_are_completed() -> None:
    offered = completed("afunix serve --max-")
    assert set(offered) == {"plain,--max-line", "plain,--max-clients", "plain,--max-per-user"}


def test_an_address_is_completed_as_a_file() -> None:
    assert completed("afunix connect ./he") == ["file,./he"]


def test_an_unknown_shell_is_refused() -> None:
    ended = run("completion", "tcsh")
    assert ended.status == 2
    assert ended.err.startswith("afunix: error: ")
