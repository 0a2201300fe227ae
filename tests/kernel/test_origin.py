"""Where a program entered the library."""

from __future__ import annotations

import os
import sys

from afunix import blocking
from afunix.kernel import origin
from afunix.kernel.origin import caller


def test_a_caller_outside_is_the_one_that_called() -> None:
    here = sys._getframe()
    assert caller() == f"{os.path.abspath(__file__)}:{here.f_lineno}"


def test_our_own_calls_are_passed_over() -> None:
    one, other = blocking.pair()
    with one, other:
        assert (one._opened_at or "").startswith(f"{os.path.abspath(__file__)}:")


def test_nobody_outside_is_none() -> None:
    before = origin._HERE
    origin._HERE = ""
    try:
        assert caller() is None
    finally:
        origin._HERE = before
