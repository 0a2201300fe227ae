"""The notices of a tap are values: two of the same are equal, and nothing changes one."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, is_dataclass
from typing import get_args

import pytest

from afunix.model.standing import Standing
from afunix.model.tap_notices import PathChanged, TapNotice


@pytest.mark.parametrize("kind", get_args(TapNotice))
def test_each_is_a_value(kind: type) -> None:
    assert is_dataclass(kind)
    assert kind.__doc__


def test_two_of_the_same_are_equal_and_stay_so() -> None:
    notice = PathChanged("/run/x", Standing.REMOVED)
    assert notice == PathChanged("/run/x", Standing.REMOVED)
    with pytest.raises(FrozenInstanceError):
        notice.path = "/run/y"  # type: ignore[misc]
