"""What every test gets: a directory short enough for a socket's path, and a check that no descriptor stays open."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture
def sock_dir() -> Iterator[str]:
    """A directory with a short name: pytest's own exceed the 107 bytes that a socket's path may have."""
    path = tempfile.mkdtemp(prefix="af-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _open_descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the directory's own descriptor, gone by now
    return found


@pytest.fixture(autouse=True)
def no_leaked_descriptors() -> Iterator[None]:
    """Whoever opens a descriptor closes it; a test that leaves one behind fails."""
    before = _open_descriptors()
    yield
    gc.collect()
    leaked = {fd: what for fd, what in _open_descriptors().items() if fd not in before}
    assert not leaked, f"descriptors left open: {leaked}"
