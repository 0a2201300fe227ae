"""What examples/README.md says: everything that is there, and each program says how it is run."""

from __future__ import annotations

import ast
import os
import re

import pytest
from tests.examples.running import FOLDER

PROGRAMS = sorted(name for name in os.listdir(FOLDER) if name.endswith(".py"))


def read(name: str) -> str:
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()


def test_readme_names_everything_and_nothing_else() -> None:
    there = {name for name in os.listdir(FOLDER) if not name.startswith(("README", "__"))}
    assert {name.rstrip("/") for name in re.findall(r"\]\((.*?)\)", read("README.md"))} == there


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_says_in_its_first_lines_how_it_is_run(name: str) -> None:
    assert f"python3 {name} " in (ast.get_docstring(ast.parse(read(name))) or "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_has_its_tests(name: str) -> None:
    subject = re.sub("_(server|client)$", "", name.removesuffix(".py"))
    assert os.path.isfile(os.path.join(os.path.dirname(__file__), f"test_{subject}.py"))
