"""Counts in words."""

from __future__ import annotations

from afunix.model.counting import counted


def test_one_is_not_many() -> None:
    assert [counted(count, "byte") for count in (0, 1, 2)] == ["0 bytes", "1 byte", "2 bytes"]
