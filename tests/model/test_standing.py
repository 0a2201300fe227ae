"""How two sockets stand under two names: every case has its word."""

from __future__ import annotations

import pytest

from afunix.model.standing import Identity, Standing, judge

OURS, THEIRS, OTHER = Identity(1, 10), Identity(1, 11), Identity(1, 12)


@pytest.mark.parametrize(
    ("at_path", "at_second", "standing"),
    [
        (OURS, THEIRS, Standing.IN_FRONT),
        (OURS, None, Standing.ALONE),
        (OURS, OTHER, Standing.ALONE),
        (THEIRS, OURS, Standing.BESIDE),
        (THEIRS, None, Standing.BACK),
        (THEIRS, OTHER, Standing.BACK),
        (None, THEIRS, Standing.REMOVED),
        (None, OURS, Standing.REMOVED),
        (OTHER, THEIRS, Standing.REPLACED),
        (OTHER, OURS, Standing.REPLACED),
    ],
)
def test_each_standing_has_its_word(
    at_path: Identity | None, at_second: Identity | None, standing: Standing
) -> None:
    assert judge(at_path, at_second, OURS, THEIRS) is standing


def test_the_same_inode_of_another_device_is_another_file() -> None:
    assert judge(Identity(2, 10), THEIRS, OURS, THEIRS) is Standing.REPLACED
