"""What `afunix.testing` promises: its names, and the example in its first lines."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from tests.program import environment

from afunix import testing


def test_every_name_is_there_under_its_own_name() -> None:
    assert [name for name in testing.__all__ if getattr(testing, name).__name__ != name] == []
    assert {*testing.__all__} == {*testing._HOMES} <= {*dir(testing)}


def test_names_are_no_modules_whatever_was_imported_before() -> None:
    program = "import afunix.testing.fixtures as _; from afunix.testing import *; faulty_listener.__name__, pair.__name__"
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment(), check=True)


def test_a_name_that_is_not_promised_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'afunix\.testing' has no attribute 'nothing'"):
        testing.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_example_in_the_docstring_is_true() -> None:
    text = testing.__doc__ or ""
    example = text[text.index("    async def") : text.index("All sockets are real")]
    namespace: dict[str, Any] = {"Faults": testing.Faults, "pair": testing.pair}
    exec(textwrap.dedent(example), namespace)
    asyncio.run(namespace["test_a_slow_network_changes_nothing"](), debug=True)
