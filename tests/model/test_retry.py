"""The policy of waiting for a server: a value, refused when it cannot be meant."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from afunix.model.retry import Retry


def test_it_is_a_value() -> None:
    retry = Retry(10, longest_pause=1)
    assert retry == Retry(10, 0.005, 1)
    with pytest.raises(FrozenInstanceError):
        retry.within = 3  # type: ignore[misc]


def test_it_may_be_for_ever() -> None:
    assert Retry(math.inf).within == math.inf


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"within": -1}, "within is -1, expected 0 seconds or more"),
        ({"within": math.nan}, "within is nan"),
        ({"within": 1, "first_pause": 0}, "expected more than 0"),
        ({"within": 1, "first_pause": 0.5}, "first_pause is 0.5 and longest_pause 0.1"),
    ],
)
def test_times_that_cannot_be_meant_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Retry(**wrong)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match="within is str, expected seconds"):
        Retry("10s")  # type: ignore[arg-type]
