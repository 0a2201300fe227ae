"""As in `tests.faults`: each test as root and as an ordinary user, in a directory of his own."""

from __future__ import annotations

from tests.faults.conftest import copy_is_removed, place, user

__all__ = ["copy_is_removed", "place", "user"]
