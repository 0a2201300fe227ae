"""All pairs on one loop: each for itself, in turns, closed when it is over, and never a spin."""

from __future__ import annotations

import errno
import gc
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.loops import HandTurned
from tests.pairing import BULK, Between, Endless, Talk, carry, copying, drain, fill, pair_of, splicing

from afunix.kernel.channel import Channel
from afunix.kernel.pipes import PipePool
from afunix.kernel.pump import SHARE_BYTES, Pump, Wants
from afunix.streams.duplex import Duplex


@pytest.fixture(params=[copying, splicing], ids=["copying", "splicing"])
def between(request: pytest.FixtureRequest, loop: HandTurned) -> Iterator[Between]:
    with ExitStack() as stack:
        yield Between(loop, stack, request.param)


def test_pairs_do_not_mix(between: Between) -> None:
    ana, bo = between.join(), between.join()
    ana.client.send(b"ana")
    bo.client.send(b"bo")
    between.settle()
    assert (drain(ana.server), drain(bo.server)) == (b"ana", b"bo")


def test_bytes_of_pairs_that_are_over_stay_counted(between: Between) -> None:
    talk = between.join()
    carry(between, talk.client, talk.server, b"four")
    talk.client.close()
    between.settle()
    assert (between.set.pairs, between.set.traffic(), between.set.bytes_moved()) == ({}, (4, 0), 4)


def test_pair_that_broke_needs_no_garbage_collector(between: Between) -> None:
    gc.collect()
    gc.disable()
    try:
        before = _pairs_in_memory()
        talk = between.join()
        talk.server.shutdown(socket.SHUT_RD)
        talk.client.send(b"for nobody")
        between.settle()
        talk.server.close()
        between.settle()
        assert talk.duplex.is_over
        assert talk.duplex.error is not None
        del talk
        between.over.clear()
        assert _pairs_in_memory() == before
    finally:
        gc.enable()


def _pairs_in_memory() -> int:
    return sum(isinstance(item, Duplex) for item in gc.get_objects())


# Rest


def stalled(between: Between, who: str) -> Talk:
    """A pair one side of which does not read."""
    talk = between.join()
    fill(between, getattr(talk, who))
    return talk


def test_pair_at_rest_is_not_served(between: Between) -> None:
    between.join()
    assert between.events_at_rest() == 0


@pytest.mark.parametrize("writer", ["client", "server"])
@pytest.mark.parametrize("end", ["open", "half-closed", "closed"])
def test_stalled_pair_is_not_served_whatever_became_of_its_writer(
    between: Between, writer: str, end: str
) -> None:
    talk = stalled(between, writer)
    if end == "half-closed":
        getattr(talk, writer).shutdown(socket.SHUT_WR)
    elif end == "closed":
        getattr(talk, writer).close()
    assert between.events_at_rest() == 0
    assert between.over == []


def test_pair_that_stalls_both_ways_is_not_served(between: Between) -> None:
    talk = stalled(between, "client")
    fill(between, talk.server)
    assert between.events_at_rest() == 0


def test_half_closed_pair_is_not_served(between: Between) -> None:
    talk = between.join()
    talk.client.shutdown(socket.SHUT_WR)
    assert between.events_at_rest() == 0


def test_stalled_pair_holds_little_and_the_others_do_not_notice(between: Between) -> None:
    deaf, others = stalled(between, "client"), [between.join() for _ in range(99)]
    assert deaf.duplex.up.held <= 1 << 20
    for talk in others:
        talk.client.send(b"x")
    between.loop.turn(2)
    assert [drain(talk.server) for talk in others] == [b"x"] * 99


def test_more_stalled_pairs_than_pipes_leave_copying_to_the_rest(loop: HandTurned) -> None:
    with ExitStack() as stack:
        between = Between(loop, stack, splicing)
        between.pool = PipePool(1)
        stack.callback(between.pool.close)
        stalled(between, "client")
        talk = between.join()
        assert carry(between, talk.client, talk.server, BULK) == BULK


# Turns


def test_pump_that_has_had_its_share_goes_on_in_the_next_turn_and_others_are_served(
    loop: HandTurned, between: Between
) -> None:
    other = between.join()
    up, down = Endless(Wants.TURN), Endless(Wants.SOURCE)
    pair_of(between, up, down)
    assert (up.steps, down.steps) == (1, 1)
    loop.turn()
    assert (up.steps, down.steps) == (2, 1)
    other.client.send(b"x")
    loop.turn(2)
    assert drain(other.server) == b"x"
    assert up.steps <= 5


def test_real_share_ends_a_turn(loop: HandTurned) -> None:
    with ExitStack() as stack:
        between = Between(loop, stack)
        endless = Pump(lambda max_bytes: bytes(max_bytes), len)
        pair_of(between, endless, Endless(Wants.SOURCE))
        assert SHARE_BYTES <= endless.moved < 2 * SHARE_BYTES


def test_pair_that_ends_in_a_turn_takes_no_other_with_it(between: Between) -> None:
    talks = [between.join() for _ in range(5)]
    between.on_over = lambda duplex: [between.set.end(talk.duplex) for talk in talks[1:4]]  # type: ignore[func-returns-value]
    for talk in talks:
        talk.client.send(b"x")
        talk.client.close()
    between.settle()
    assert len(between.over) == 5
    assert drain(talks[4].server) == b"x"


def test_new_owner_of_a_descriptor_does_not_inherit_its_hang_up(between: Between) -> None:
    old, gone = between.join(), between.join()
    numbers = {old.duplex.near.fd, old.duplex.far.fd, gone.duplex.near.fd, gone.duplex.far.fd}
    new: list[Talk] = []

    def replace(duplex: Duplex) -> None:
        if duplex is old.duplex:
            between.set.end(gone.duplex)
            new.append(between.join())

    between.on_over = replace
    old.client.shutdown(socket.SHUT_RDWR)
    gone.client.shutdown(socket.SHUT_RDWR)
    between.settle()
    (talk,) = new
    assert {talk.duplex.near.fd, talk.duplex.far.fd} & numbers
    assert not talk.duplex.is_over
    assert carry(between, talk.client, talk.server, b"fresh") == b"fresh"


# What breaks


def test_sockets_that_cannot_be_watched_stay_their_owners(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = between.set._readiness.add
    added: list[int] = []

    def add_once(fd: int, *args: Any) -> None:
        if added:
            raise OSError(errno.ENOSPC, "max_user_watches")
        added.append(fd)
        register(fd, *args)

    monkeypatch.setattr(between.set._readiness, "add", add_once)
    near, far = socket.socketpair()
    ends = Channel(near), Channel(far)
    pump = copying(*ends, between.pool)
    with pytest.raises(OSError, match="max_user_watches"):
        between.set.add(Duplex(*ends, pump, pump))
    assert (between.set.pairs, between.set._readiness._items) == ({}, {})
    for channel in ends:
        assert not channel.is_closed
        channel.close()


def test_ended_pair_loses_what_waits_and_is_ended_once(between: Between) -> None:
    talk = between.join()
    sent = fill(between, talk.client)
    assert between.set.bytes_unmoved() == sent - talk.duplex.up.moved
    between.set.end(talk.duplex)
    between.set.end(talk.duplex)
    assert between.over == [(talk.duplex, sent - talk.duplex.up.moved)]


def test_closed_set_has_closed_its_pairs_in_silence(between: Between) -> None:
    talk = stalled(between, "client")
    between.set.close()
    between.set.close()
    assert (between.over, talk.duplex.is_over, talk.duplex.near.is_closed) == ([], True, True)


def test_touched_is_when_something_happened_last(loop: HandTurned) -> None:
    with ExitStack() as stack:
        between = Between(loop, stack, clock=loop.time)
        talk = between.join()
        loop.now += 5
        between.settle()
        assert talk.duplex.touched == loop.now - 5
        carry(between, talk.client, talk.server, b"x")
        assert talk.duplex.touched == loop.now


def test_no_descriptor_stays_open(between: Between) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        talk = between.join()
        talk.client.send(b"x")
        talk.client.close()
        between.settle()
        talk.server.close()
    assert len(os.listdir("/proc/self/fd")) - before <= 2  # a pipe of the pool
