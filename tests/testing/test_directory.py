"""A directory for socket files."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from afunix.testing import socket_dir


def test_directory_is_there_and_nobody_elses() -> None:
    with socket_dir() as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_directory_goes_with_all_that_is_in_it() -> None:
    with socket_dir() as path:
        (path / "app.sock").touch()
    assert not path.exists()


def test_directory_that_was_removed_meanwhile_is_no_error() -> None:
    with socket_dir() as path:
        path.rmdir()


def test_name_is_short_even_if_the_usual_directory_has_a_long_one(
    monkeypatch: pytest.MonkeyPatch, sock_dir: str
) -> None:
    usual = Path(sock_dir, "x" * 100)
    usual.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(usual))
    with socket_dir() as path:
        assert len(str(path)) < 64
