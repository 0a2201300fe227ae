"""What happens to a command is a value, and nothing else."""

from __future__ import annotations

from afunix.model.activated import Over


def test_an_end_is_neither_wanted_nor_followed_by_a_pause_unless_it_is_said() -> None:
    over = Over(7, code=0, lived_s=1.5)
    assert (over.pause_s, over.is_wanted, over.has_served) == (0.0, False, None)
