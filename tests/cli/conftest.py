"""What tests of `check` get: who asks, and a directory of theirs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.faults.users import IS_ROOT, ME, ORDINARY, USERS, User, remove_copy


@pytest.fixture(scope="session")
def copy_is_removed() -> Iterator[None]:
    """The program that an ordinary user runs is gone with the last test."""
    yield
    remove_copy()


@pytest.fixture(params=USERS, ids=lambda user: user.name)
def user(request: pytest.FixtureRequest, copy_is_removed: None) -> User:
    """Who runs afunix: root and an ordinary user, or whoever runs the tests."""
    found: User = request.param
    found.command()
    return found


@pytest.fixture
def ordinary(copy_is_removed: None) -> User:
    """Somebody without rights."""
    found = User("ordinary", ORDINARY) if IS_ROOT else ME
    found.command()
    return found


@pytest.fixture
def place(user: User, sock_dir: str) -> str:
    """A short directory that belongs to `user`."""
    if user.changes:
        os.chown(sock_dir, user.uid, user.uid)
    return sock_dir


@pytest.fixture
def open_place(sock_dir: str) -> str:
    """A short directory of ours that everybody may search, and nobody else write to."""
    os.chmod(sock_dir, 0o755)
    return sock_dir
