"""The reference has every public name once. That each can be shown is `scripts/docs`'s to prove; here none is missing."""

from __future__ import annotations

import importlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.docs.blocks import ROOT

import afunix

REFERENCE = os.path.join(ROOT, "docs", "reference")
DIRECTIVE = re.compile(r"^\.\. auto(?:function|class|exception|data):: (afunix\.[\w.]+)$", re.MULTILINE)

MODULES = (
    "afunix",
    "afunix.adapters.anyio",
    "afunix.adapters.trio",
    *(f"afunix.{name}" for name in afunix._MODULES),
)
"""What users import: each has an exact `__all__`."""

REACHED = {f"afunix.testing.faults.{name}" for name in ("Calls", "Transfers", "Receives")}
"""Not made by users, but theirs as attributes of what is: `Faults.sending`."""


def documented() -> Iterator[tuple[str, str]]:
    """Page and name, for each that a page shows."""
    for page in sorted(os.listdir(REFERENCE)):
        with open(os.path.join(REFERENCE, page), encoding="utf-8") as file:
            yield from ((page, name) for name in DIRECTIVE.findall(file.read()))


def public() -> Iterator[str]:
    for module in MODULES:
        yield from (f"{module}.{name}" for name in importlib.import_module(module).__all__)


def meant_by(name: str) -> Any:
    """What a dotted name is; one thing has several where it is promised in two places."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module: str) -> None:
    shown = {id(meant_by(name)) for _, name in documented()}
    names = importlib.import_module(module).__all__
    assert not [name for name in names if id(meant_by(f"{module}.{name}")) not in shown]


def test_nothing_is_there_twice() -> None:
    twice = Counter(id(meant_by(name)) for _, name in documented())
    assert not [name for _, name in documented() if twice[id(meant_by(name))] > 1]


def test_nothing_is_there_that_is_not_promised() -> None:
    promised = {*public(), *REACHED}
    assert not [name for _, name in documented() if name not in promised]


def test_every_page_is_reached_from_the_index() -> None:
    with open(os.path.join(ROOT, "docs", "index.md"), encoding="utf-8") as file:
        index = file.read()
    assert not [page for page in os.listdir(REFERENCE) if f"reference/{page[:-4]}\n" not in index]
