"""What every test gets: a directory short enough for a socket's path, and a check that no descriptor stays open."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no reason to fail: how long an example takes is not what these tests are about.
settings.register_profile("afunix", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("afunix")


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


def _opened_since(before: dict[int, str]) -> dict[int, str]:
    return {fd: what for fd, what in _open_descriptors().items() if fd not in before}


@pytest.fixture(autouse=True)
def no_leaked_descriptors() -> Iterator[None]:
    """Whoever opens a descriptor closes it; a test that leaves one behind fails."""
    before = _open_descriptors()
    yield
    leaked = _opened_since(before)
    if leaked:
        gc.collect()  # takes longer than most tests, and matters only to what is still open
        leaked = _opened_since(before)
    assert not leaked, f"descriptors left open: {leaked}"
