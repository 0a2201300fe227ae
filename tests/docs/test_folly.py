"""docs/folly.md promises names and tests: each is there, and what must be has both."""

from __future__ import annotations

import ast
import inspect
import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from tests.docs.blocks import ROOT

import afunix

with open(os.path.join(ROOT, "docs", "folly.md"), encoding="utf-8") as page:
    PAGE = page.read()

QUOTED = re.compile(r"`([^`]+)`")
TEST = re.compile(r"([\w/]+\.py)::(test_\w+)")
NOT_OURS = {
    "AsyncSocket",
    "AsyncServerSocket",
    "AsyncFdSocket",
    "asyncio.timeout",
    "async with",
    "accept_fds",
    "name",
    "name(argument=)",
}


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Folly's words, the verdict, ours, the tests."""
    for line in PAGE.splitlines():
        if line.startswith("| ") and not line.startswith("| Folly |"):
            ability, verdict, ours, tests = (cell.strip() for cell in line.strip("|").split("|"))
            yield ability, verdict, ours, tests


@cache
def functions_of(file: str) -> set[str]:
    with open(os.path.join(ROOT, "tests", file), encoding="utf-8") as source:
        return {node.name for node in ast.walk(ast.parse(source.read())) if isinstance(node, ast.FunctionDef)}


NAMES = sorted({quoted for quoted in QUOTED.findall(PAGE) if not TEST.fullmatch(quoted)} - NOT_OURS)
TESTS = sorted({quoted for quoted in QUOTED.findall(PAGE) if TEST.fullmatch(quoted)})


@pytest.mark.parametrize("name", NAMES)
def test_name_is_there(name: str) -> None:
    dotted, _, argument = name.partition("(")
    found: Any = afunix
    for part in dotted.split("."):
        found = getattr(found, part)
    if argument:
        assert argument.rstrip("=)") in inspect.signature(found).parameters


@pytest.mark.parametrize("name", TESTS)
def test_test_is_there(name: str) -> None:
    file, _, function = name.partition("::")
    assert function in functions_of(file)


@pytest.mark.parametrize("ability", [ability for ability, verdict, _, _ in rows() if verdict == "must"])
def test_what_must_be_has_a_test(ability: str) -> None:
    (tests,) = (tests for each, _, _, tests in rows() if each == ability)
    assert TEST.search(tests)


def test_every_row_has_a_verdict_and_words() -> None:
    for ability, verdict, ours, _ in rows():
        assert verdict in {"must", "should", "no", "free"}, ability
        assert ours, ability
