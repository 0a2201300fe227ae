"""Where a stream stands, and its counters: plain values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from afunix.model.stream_state import State, Stats


def test_every_state_says_what_it_means() -> None:
    assert len({state.value for state in State}) == len(State) == 7


def test_counters_are_a_value() -> None:
    stats = Stats(1, 2, 3, 4)
    assert stats == Stats(bytes_received=1, bytes_sent=2, bytes_queued=3, descriptors_closed=4)
    with pytest.raises(FrozenInstanceError):
        stats.bytes_sent = 5  # type: ignore[misc]
