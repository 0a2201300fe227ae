"""A directory for socket files: its name is short, because a socket's path may have 107 bytes (unix(7))."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHORT_BYTES = 64
"""A temporary directory of at most so many bytes leaves room for names in it."""


@contextmanager
def socket_dir() -> Iterator[Path]:
    """A new directory, for this user alone; it goes with all that is in it when the `with` is left.

    In the usual temporary directory ($TMPDIR), or in /tmp if that one has a long name.
    """
    usual = tempfile.gettempdir()
    parent = usual if len(os.fsencode(usual)) <= _SHORT_BYTES else "/tmp"
    with tempfile.TemporaryDirectory(prefix="af-", dir=parent, ignore_cleanup_errors=True) as name:
        yield Path(name)
