"""mypy (strict) and pyright (strict) on programs as users write them: what is right passes, each mistake is seen.

The programs are the files beside this one. pyright comes as basedpyright, which brings all it needs in its wheel.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAMS = sorted(
    name for name in os.listdir(HERE) if name.endswith(".py") and name != os.path.basename(__file__)
)


def need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        reason = f"{module} is not installed (dependency group dev)"
        pytest.fail(reason) if os.environ.get("AFUNIX_REQUIRE_PEERS") == "1" else pytest.skip(reason)


def complaints(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_mypy_has_nothing_to_say() -> None:
    need("mypy")
    assert complaints("mypy", "--strict", *(os.path.join(HERE, name) for name in PROGRAMS)) == ""


def test_pyright_has_nothing_to_say() -> None:
    need("basedpyright")
    project = os.path.join(HERE, "pyrightconfig.json")
    assert complaints("basedpyright", "--pythonpath", sys.executable, "--project", project) == ""
