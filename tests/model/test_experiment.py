"""What an experiment brought to light: a comparison is a whole table, a surprise is not hidden."""

from __future__ import annotations

import pytest

from afunix.model.experiment import Comparison, Result


def test_rows_are_as_long_as_the_header() -> None:
    with pytest.raises(ValueError, match="has 2 cells, expected 3"):
        Comparison("times", ("", "Unix", "TCP"), (("round trip", "5 µs"),))


def test_a_result_without_surprises_is_as_explained() -> None:
    assert Result(()).is_as_explained
    assert not Result((), surprises=("connect(4) succeeded, expected EAGAIN",)).is_as_explained
