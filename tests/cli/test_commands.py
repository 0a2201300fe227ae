"""The table of contents: help, version, and what is said to a word that is no command."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module

import click
import pytest
from tests.program import command, environment, run, start

import afunix
from afunix.cli.commands import COMMANDS


def test_bare_afunix_is_help() -> None:
    end = run()
    assert (end.status, end.err) == (0, "")
    assert end.out == run("--help").out == run("-h").out


def test_help_names_every_command() -> None:
    out = run("--help").out.decode()
    assert [name for name in COMMANDS if not re.search(rf"^  {name} +\w", out, re.MULTILINE)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_a_file_of_its_name_and_its_own_help(name: str) -> None:
    assert isinstance(import_module(f"afunix.cli.{name}").command, click.Command)
    end = run(name, "-h")
    assert (end.status, end.err) == (0, "")
    assert end.out.startswith(f"Usage: afunix {name} ".encode())


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version_is_the_packages(option: str) -> None:
    assert run(option).out.decode() == f"afunix {afunix.__version__}\n"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["srve"], "did you mean 'afunix serve'?"),
        (["./app.sock"], "the command comes first: afunix connect ./app.sock"),
        (["@app"], "the command comes first: afunix connect @app"),
        (["frobnicate"], f"the commands are {', '.join(COMMANDS)}"),
    ],
)
def test_word_that_is_no_command_gets_the_next_step(words: list[str], hint: str) -> None:
    end = run(*words)
    assert end.status == 2
    assert end.err == f"afunix: error: there is no command '{words[0]}'\nafunix: hint: {hint}\n"


def test_word_that_is_no_command_cannot_drive_the_terminal() -> None:
    assert "\x1b" not in run("\x1b[2J").err


def test_commands_are_imported_only_when_they_are_used() -> None:
    program = "import sys, afunix.cli.commands; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=True
    ).stdout.split()
    assert not {f"afunix.cli.{name}" for name in COMMANDS} & {*modules}
    assert not {"asyncio", "rich"} & {*modules}


def test_reader_of_the_help_that_left_is_no_traceback() -> None:
    process = start("--help", shell_prefix='"$@" | true')
    _, err = process.communicate(timeout=20)
    assert err == b""


def test_keyboard_interrupt_from_the_start_on_is_quiet() -> None:
    program = (
        "import os, signal, sys\n"
        "from afunix import cli\n"
        "from afunix.cli import standard\n"
        "standard.reserve = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "cli.main(['--help'])\n"
    )
    end = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment(), check=False)
    assert (end.returncode, end.stdout, end.stderr) == (-2, b"", b"")


def test_module_is_the_same_program() -> None:
    assert command()[1:] == ["-m", "afunix"]
    assert run("--help").out.startswith(b"Usage: afunix ")


def test_little_is_imported_before_the_keyboard_interrupt_is_quiet() -> None:
    program = (
        "import signal, sys; before = {*sys.modules}; import afunix.cli; print(*{*sys.modules} - before)"
    )
    modules = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=True
    ).stdout.split()
    assert {*modules} <= {"afunix", "afunix.cli", "atexit", "__future__"}
