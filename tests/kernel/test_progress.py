"""What counts as progress of a send: bytes that went or were read, at the time at which that was seen."""

from __future__ import annotations

import socket

from tests.kernel.stepping import Pair

from afunix.kernel.progress import Progress
from afunix.kernel.steps import NoProgressError


def has_stopped(progress: Progress, now: float, limit_s: float = 2.0) -> bool:
    try:
        progress.seconds_left(limit_s, now)
    except NoProgressError:
        return True
    return False


def test_without_a_byte_the_time_runs_out(stepped_pair: Pair) -> None:
    progress = Progress(stepped_pair[0]._channel)
    assert [has_stopped(progress, now) for now in (10.0, 11.0, 11.9, 12.0, 20.0)] == [False] * 3 + [True] * 2


def test_it_is_asked_again_eight_times_in_that_time_and_at_its_end(stepped_pair: Pair) -> None:
    progress = Progress(stepped_pair[0]._channel)
    assert progress.seconds_left(2.0, now=10.0) == 0.25
    assert progress.seconds_left(2.0, now=11.875) == 0.125


def test_each_byte_gives_all_of_it_again(stepped_pair: Pair) -> None:
    channel = stepped_pair[0]._channel
    progress = Progress(channel)
    for now in (10.0, 11.9, 13.8, 100.0):
        assert not has_stopped(progress, now)
        channel.try_send(b"x")
    assert not has_stopped(progress, 200.0)


def test_what_the_peer_reads_gives_all_of_it_again_though_there_is_no_room_yet(stepped_pair: Pair) -> None:
    stream, far = stepped_pair
    stream._channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
    while stream._channel.try_send(bytes(1000)):
        pass
    progress = Progress(stream._channel)
    for now in (10.0, 11.9, 13.8, 15.7):
        assert not has_stopped(progress, now)
        far.recv(1000)
    assert not has_stopped(progress, 17.6)
    assert has_stopped(progress, 19.7)


def test_what_went_before_the_first_wait_is_no_progress(stepped_pair: Pair) -> None:
    channel = stepped_pair[0]._channel
    channel.try_send(b"before")
    progress = Progress(channel)
    assert not has_stopped(progress, 10.0)
    assert has_stopped(progress, 12.0)
