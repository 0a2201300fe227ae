"""What counts as progress of a send: bytes that went, at the time at which they were seen to have gone."""

from __future__ import annotations

import pytest
from tests.kernel.stepping import Pair

from afunix.kernel.progress import Progress
from afunix.kernel.steps import NoProgressError


def test_without_a_byte_the_time_runs_out(stepped_pair: Pair) -> None:
    progress = Progress(stepped_pair[0]._channel)
    assert progress.seconds_left(2.0, now=10.0) == 2.0
    assert progress.seconds_left(2.0, now=11.5) == 0.5
    for now in (12.0, 20.0):
        with pytest.raises(NoProgressError):
            progress.seconds_left(2.0, now)


def test_each_byte_gives_all_of_it_again(stepped_pair: Pair) -> None:
    channel = stepped_pair[0]._channel
    progress = Progress(channel)
    for now in (10.0, 11.9, 13.8):
        assert progress.seconds_left(2.0, now) == 2.0
        channel.try_send(b"x")
    assert progress.seconds_left(2.0, now=100.0) == 2.0


def test_what_went_before_the_first_wait_is_no_progress(stepped_pair: Pair) -> None:
    channel = stepped_pair[0]._channel
    channel.try_send(b"before")
    progress = Progress(channel)
    progress.seconds_left(2.0, now=10.0)
    assert progress.seconds_left(2.0, now=11.0) == 1.0


def test_no_time_at_all_is_one_attempt(stepped_pair: Pair) -> None:
    progress = Progress(stepped_pair[0]._channel)
    assert progress.seconds_left(0.0, now=10.0) == 0.0
    with pytest.raises(NoProgressError):
        progress.seconds_left(0.0, now=10.0)
