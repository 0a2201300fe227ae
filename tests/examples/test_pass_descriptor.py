"""An open file, handed from one process to another."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.examples.running import run, running, stop, until
from tests.looking import is_listened_on
from tests.program import Ended, ended


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.txt"
    file.write_bytes(b"what is in it\n" * 10_000)
    return file


def wait_for(path: str) -> None:
    """Until somebody listens there: the first who is accepted is the taker, so nobody may look by connecting."""
    until(lambda: is_listened_on(path))


def test_the_taker_reads_a_file_that_the_giver_has_opened(path: str, secret: Path) -> None:
    with running("pass_descriptor.py", "give", str(secret), path) as giver:
        wait_for(path)
        assert run("pass_descriptor.py", "take", path) == Ended(0, secret.read_bytes(), "got 'secret.txt'\n")
        assert ended(giver) == Ended(0, b"", "")
    assert not os.path.lexists(path)


def test_it_works_though_the_file_cannot_be_opened_any_more(path: str, secret: Path) -> None:
    content = secret.read_bytes()
    with running("pass_descriptor.py", "give", str(secret), path):
        wait_for(path)
        secret.unlink()
        assert run("pass_descriptor.py", "take", path).out == content


def test_a_file_that_is_not_there_is_told(path: str) -> None:
    told = run("pass_descriptor.py", "give", "/nonexistent", path)
    assert told.status == 1
    assert "No such file or directory: '/nonexistent'" in told.err


def test_a_giver_who_is_not_there_is_told(path: str) -> None:
    told = run("pass_descriptor.py", "take", path)
    assert (told.status, told.err) == (1, f"{path!r} does not exist (ENOENT)\n")


def test_usage_is_what_the_file_says() -> None:
    told = run("pass_descriptor.py")
    assert told.status == 1
    assert "python3 pass_descriptor.py give FILE [PATH]" in told.err
    assert "python3 pass_descriptor.py take [PATH]" in told.err


def test_a_signal_ends_a_giver_whom_nobody_asks(path: str, secret: Path) -> None:
    with running("pass_descriptor.py", "give", str(secret), path) as giver:
        wait_for(path)
        assert stop(giver).status == -signal.SIGTERM
