"""Every code block of README.md and docs/ does what it shows. How a block is run: `blocks` and `shell`."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
from contextlib import nullcontext

import pytest
from tests.docs.blocks import (
    LANGUAGES,
    PROGRAM,
    ROOT,
    SESSION,
    TEXT,
    UNIT,
    Block,
    blocks_of,
    pages,
    read_blocks,
)
from tests.docs.shell import Shell, commands_of, fill, require_programs
from tests.peers import require
from tests.program import PATIENCE_S

PAGES = [page for page in pages() if blocks_of(page)]


def with_units() -> list[str]:
    return [page for page in PAGES if any(block.language == UNIT for block in blocks_of(page))]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_by_some_test(page: str) -> None:
    for block in blocks_of(page):
        assert block.language in LANGUAGES, f"{block.where}: nothing runs {block.language!r}"
        if block.tested_by is not None:
            file, _, name = block.tested_by.partition("::")
            with open(os.path.join(ROOT, file), encoding="utf-8") as source:
                tree = ast.parse(source.read())
            functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert name in functions, f"{block.where}: {block.tested_by} is not there"
        elif block.language in (UNIT, TEXT):
            assert block.file, f"{block.where}: what is its file called?"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_is_used_by_a_session(page: str) -> None:
    blocks = blocks_of(page)
    sessions = " ".join(block.text for block in blocks if block.language == SESSION)
    for block in blocks:
        if block.file is not None and block.language != UNIT:
            assert block.file in sessions, f"{block.where}: no session of the page uses {block.file}"


@pytest.mark.parametrize("page", PAGES)
def test_page_does_what_it_shows(page: str, sock_dir: str) -> None:
    blocks = [block for block in blocks_of(page) if block.tested_by is None]
    sessions = {block: [*commands_of(block)] for block in blocks if block.language == SESSION}
    programs = [block for block in blocks if block.language == PROGRAM and block.file is None]
    require_programs([command for commands in sessions.values() for command in commands])
    fill(sock_dir, [block for block in blocks if block.file is not None])
    with Shell(sock_dir) as shell:
        for block in blocks:
            if block in programs:
                run_program(shell, sock_dir, block)
            for command in sessions.get(block, ()):
                status = shell.do(command)
                assert status == 0 or re.search("error|not reachable", command.says), (
                    f"{block.where}: $ {command.text}: status {status}"
                )
        shell.end()


@pytest.mark.parametrize("page", PAGES)
def test_who_sends_descriptors_waits_for_a_receiver_in_the_background(page: str) -> None:
    """Pasted into a shell both begin at once, and a receiver whose sender has failed would wait for ever."""
    for block in blocks_of(page):
        commands = [*commands_of(block)] if block.language == SESSION else []
        for first, second in itertools.pairwise(commands):
            if first.is_in_background and "fd send" in second.text:
                assert "fd send --wait" in second.text, f"{block.where}: $ {second.text}"


def run_program(shell: Shell, folder: str, block: Block) -> None:
    """A program that is no file of the page runs by itself, and says nothing."""
    name = f"block-{block.line}.py"
    fill_one(folder, name, block.text)
    (command,) = commands_of(Block(block.page, block.line, SESSION, f"$ python {name}\n"))
    assert shell.do(command) == 0, block.where


def fill_one(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


@pytest.mark.parametrize("page", with_units())
def test_units_are_what_systemd_understands(page: str, sock_dir: str) -> None:
    units = [block for block in blocks_of(page) if block.language == UNIT]
    for unit in units:
        assert unit.file is not None
        here = re.sub(r"(?m)^(ExecStart=)/\S+", r"\1/bin/true", unit.text)  # the program is its reader's
        fill_one(sock_dir, unit.file, here)
    names = [f"./{unit.file}" for unit in units]
    command = [require("systemd-analyze"), "verify", *names]
    done = subprocess.run(command, cwd=sock_dir, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_block_in_an_unknown_language_is_seen() -> None:
    (block,) = read_blocks("page", "words\n```fortran\nEND\n```\n")
    assert block == Block("page", 2, "fortran", "END\n")
    assert block.language not in LANGUAGES


def test_comment_that_says_nothing_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing is known of"):
        list(read_blocks("page", "<!-- skip -->\n```python\n```\n"))


def test_block_that_does_not_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not end"):
        list(read_blocks("page", "```python\nprint()\n"))


SAYS = [
    ("$ echo one; echo two\none\ntwo\n", True),
    ("$ echo one; echo two\none\n", False),
    ("$ echo pid 17 '(cat)' uid 3 '(eve)' wrote\npid 4121 (afunix) uid 1000 (ana) wrote\n", True),
    ("$ echo 7 bytes\n6 bytes\n", False),
    ("$ echo 'listening  root afunix[8410]:3   0/1'\nlistening  ana python3.13[7]:11  0/1\n", True),
    ("$ echo 'listening  root afunix[8410]:3   0/1'\nlistening  ana python3.13[7]:3  1/1\n", False),
    ("$ echo 'srw------- root root  a.sock'\nsrw------- ana staff  a.sock\n", True),
    ("$ echo came at 12:30\ncame at …\n", True),
    ("$ VALUE=5\n$ echo $VALUE\n5\n", True),
]


@pytest.mark.parametrize(("text", "is_so"), SAYS)
def test_session_is_compared_with_what_is_shown(sock_dir: str, text: str, is_so: bool) -> None:
    patience, outcome = (PATIENCE_S, nullcontext()) if is_so else (0.1, pytest.raises(AssertionError))
    with Shell(sock_dir, patience) as shell, outcome:
        for command in commands_of(Block("page", 1, SESSION, text)):
            shell.do(command)
        shell.end()
