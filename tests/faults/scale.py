"""How big: tests keep to sizes that a small machine does in seconds, `scripts/faults` takes the matrix's own.

What measures time is marked `timed` and runs in `scripts/faults` alone: on a busy machine it says nothing.
"""

from __future__ import annotations

import os

import pytest

FULL = os.environ.get("AFUNIX_FAULTS") == "full"

timed = pytest.mark.skipif(not FULL, reason="measures time: run scripts/faults")


def scaled(small: int, full: int) -> int:
    """`small` in the tests, `full` in `scripts/faults`."""
    return full if FULL else small
