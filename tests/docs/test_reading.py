"""docs/reading.md promises commands, experiments, programs and tests: each is there, and no section is left out.

Commands that any other page names in its sentences are there, too, with their options and experiments.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import click
import pytest
from tests.docs.blocks import ROOT, pages
from tests.docs.test_folly import functions_of
from tests.peers import PEERS

from afunix.cli.commands import afunix

READING = "docs/reading.md"
SECTIONS = {56: 6, 57: 6, 58: 7, 59: 14, 60: 5, 61: 13}
"""The book's chapters, and how many sections of each have a subject: summaries and exercises are left out."""

NOTHING = "–"
QUOTED = re.compile(r"`([^`]+)`")
TEST = re.compile(r"([\w/]+\.py)::(test_\w+)")
MANUAL = re.compile(r"\w+\([1-8](type)?\)")
COMMAND = re.compile(r"`(afunix [a-z-][^`\n]*)`")
PLACEHOLDER = re.compile(r"[A-Z_]+…?|\[.*|…")


def text_of(page: str) -> str:
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        return file.read()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    section: str
    words: str
    attempts: list[str]
    manual: str
    tests: list[str]


def rows() -> Iterator[Row]:
    for line in text_of(READING).splitlines():
        if re.match(r"\| \d", line):
            section, words, attempts, manual, tests = (cell.strip() for cell in line.strip("|").split("|"))
            yield Row(section, words, quoted_in(attempts), manual, quoted_in(tests))


def quoted_in(cell: str) -> list[str]:
    """What stands in backticks; beside it there are only commas, and a dash is nothing."""
    assert cell == NOTHING or re.fullmatch(r"[, ]*", QUOTED.sub("", cell)), cell
    return QUOTED.findall(cell)


def named_in(page: str) -> set[str]:
    """The commands in the sentences of a page; its blocks are run elsewhere."""
    return {re.split(r" [<>|&;]", found)[0] for found in COMMAND.findall(text_of(page))}


ROWS = [*rows()]
ATTEMPTS = sorted({attempt for row in ROWS for attempt in row.attempts})
PROVEN_BY = sorted({test for row in ROWS for test in row.tests})
COMMANDS = sorted({command for page in pages() for command in named_in(page)})


def test_every_section_is_there_in_order() -> None:
    expected = [f"{chapter}.{number}" for chapter, last in SECTIONS.items() for number in range(1, last + 1)]
    assert list(dict.fromkeys(row.section for row in ROWS)) == expected


def test_every_experiment_is_tried_somewhere() -> None:
    words = {word for attempt in ATTEMPTS for word in attempt.split()}
    assert experiments() <= words


@pytest.mark.parametrize("row", ROWS, ids=[row.words for row in ROWS])
def test_manual_is_a_list_of_pages(row: Row) -> None:
    assert row.manual == NOTHING or all(MANUAL.fullmatch(page) for page in row.manual.split(", "))


@pytest.mark.parametrize("row", ROWS, ids=[row.words for row in ROWS])
def test_what_can_be_tried_with_afunix_is_proven(row: Row) -> None:
    is_ours = any(attempt.startswith("afunix") for attempt in row.attempts)
    assert row.tests or not is_ours


@pytest.mark.parametrize("name", PROVEN_BY)
def test_test_is_there(name: str) -> None:
    match = TEST.fullmatch(name)
    assert match is not None
    assert match[2] in functions_of(match[1])


@pytest.mark.parametrize("attempt", [each for each in ATTEMPTS if not each.startswith("afunix")])
def test_program_is_there(attempt: str) -> None:
    program = attempt.split()[0]
    assert program in PEERS or os.path.exists(os.path.join(ROOT, program))


@pytest.mark.parametrize("written", COMMANDS)
def test_command_its_options_and_experiments_are_there(written: str) -> None:
    _, name, *words = shlex.split(written)
    context = click.Context(afunix, info_name="afunix")
    command = afunix if name.startswith("-") else afunix.get_command(context, name)
    assert command is not None, f"there is no command {name!r}"
    others = check_options(command, [name, *words] if command is afunix else words)
    if name == "demo":
        named = {word for word in others if not PLACEHOLDER.fullmatch(word)}
        assert named <= experiments()


def check_options(command: click.Command, words: list[str]) -> list[str]:
    """Each word that begins with a dash is an option of `command`; those that are neither option nor value."""
    found = {spelling: each for each in command.get_params(_context(command)) for spelling in each.opts}
    others = []
    rest = iter(words)
    for word in rest:
        if word == "--":  # what follows is another program's
            break
        if not word.startswith("-") or word == "-":
            others.append(word)
            continue
        option, _, value = word.partition("=")
        assert option in found, f"{command.name} has no option {option}"
        takes_value = isinstance(each := found[option], click.Option) and not (each.is_flag or each.count)
        if takes_value and not value:
            next(rest, None)
    return others


def _context(command: click.Command) -> click.Context:
    return click.Context(command, info_name=command.name)


def experiments() -> set[str]:
    from afunix.tools.demo.experiments import EXPERIMENTS

    return set(EXPERIMENTS)
