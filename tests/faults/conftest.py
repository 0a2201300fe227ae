"""Every row of the matrix as each user that the tests can be, in a directory of his own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from tests.faults.users import IS_ROOT, STRANGER, USERS, User, remove_copy


@pytest.fixture(params=USERS, ids=lambda user: user.name)
def user(request: pytest.FixtureRequest) -> User:
    """Who runs afunix."""
    found: User = request.param
    found.command()  # his copy is made now, not while a test measures
    return found


@pytest.fixture
def place(user: User) -> Iterator[str]:
    """A directory with a short name that belongs to `user` and that everybody can enter."""
    path = tempfile.mkdtemp(prefix="af-")
    os.chmod(path, 0o755)
    os.chown(path, user.uid, -1)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def stranger() -> int:
    """The uid of a third one, neither root nor `user`."""
    if not IS_ROOT:
        pytest.skip("takes root: a client of another uid is wanted")
    return STRANGER


@pytest.fixture(scope="session", autouse=True)
def copy_is_removed() -> Iterator[None]:
    yield
    remove_copy()
