"""What is handed out: a wheel with every file of the package, its licence, its version and one command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from zipfile import ZipFile

import pytest

import afunix

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DIST_INFO = f"afunix-{afunix.__version__}.dist-info"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZipFile]:
    folder = str(tmp_path_factory.mktemp("dist"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (name,) = os.listdir(folder)
    with ZipFile(os.path.join(folder, name)) as opened:
        yield opened


@pytest.fixture
def metadata(wheel: ZipFile) -> Message:
    return Parser().parsestr(wheel.read(f"{DIST_INFO}/METADATA").decode())


def source_files() -> Iterator[str]:
    source = os.path.join(ROOT, "src")
    for folder, folders, files in os.walk(os.path.join(source, "afunix")):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (os.path.relpath(os.path.join(folder, file), source) for file in files)


def test_wheel_holds_every_file_of_the_package_and_no_other(wheel: ZipFile) -> None:
    assert {name for name in wheel.namelist() if not name.startswith(DIST_INFO)} == {*source_files()}


def test_wheel_tells_type_checkers_that_it_is_typed(wheel: ZipFile) -> None:
    assert "afunix/py.typed" in wheel.namelist()


def test_wheel_holds_the_licence(wheel: ZipFile) -> None:
    with open(os.path.join(ROOT, "LICENSE"), "rb") as file:
        licence = file.read()
    assert b"MIT License" in licence
    assert wheel.read(f"{DIST_INFO}/licenses/LICENSE") == licence


def test_wheel_brings_one_command(wheel: ZipFile) -> None:
    text = wheel.read(f"{DIST_INFO}/entry_points.txt").decode()
    assert text.split("\n") == ["[console_scripts]", "afunix = afunix.cli:main", ""]


def test_wheel_has_the_version_of_the_package(metadata: Message) -> None:
    assert metadata["Version"] == afunix.__version__


def test_wheel_needs_click_and_rich_and_nothing_else(metadata: Message) -> None:
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {re.split(r"[^\w-]", line)[0] for line in needed} == {"click", "rich"}


def test_wheel_shows_the_readme(metadata: Message) -> None:
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        assert file.read().strip() in str(metadata.get_payload())


def test_changelog_has_the_version() -> None:
    with open(os.path.join(ROOT, "CHANGELOG.md"), encoding="utf-8") as file:
        assert f"\n## [{afunix.__version__}]" in file.read()
