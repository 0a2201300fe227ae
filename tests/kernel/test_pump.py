"""One direction as a state machine: nothing lost, doubled or reordered, whatever the ends take, and never a wait."""

from __future__ import annotations

import os
import socket
import sys
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.kernel.channel import Channel
from afunix.kernel.input import Input
from afunix.kernel.movers import SplicedPipe
from afunix.kernel.pump import CHUNK_BYTES, SHARE_BYTES, Pump, Wants


class Script:
    """A source that gives pieces, None for "not yet" and errors, in this order; then its end."""

    def __init__(self, *pieces: bytes | OSError | None) -> None:
        self.pieces = deque(pieces)

    def receive(self, max_bytes: int) -> bytes | None:
        piece = self.pieces.popleft() if self.pieces else b""
        if isinstance(piece, OSError):
            raise piece
        return piece


class Takes:
    """A sink that takes so many bytes each time, then everything."""

    def __init__(self, *counts: int) -> None:
        self.counts = deque(counts)
        self.got = b""

    def send(self, data: memoryview) -> int:
        count = min(self.counts.popleft(), len(data)) if self.counts else len(data)
        self.got += bytes(data[:count])
        return count


def run(pump: Pump, limit: int = 10_000) -> list[Wants]:
    """Step to the end, whatever it asks for; the answers but the last, which is NOTHING."""
    answers: list[Wants] = []
    while (wants := pump.step()) is not Wants.NOTHING:
        answers.append(wants)
        assert len(answers) < limit
    return answers


def test_it_waits_for_the_source_then_for_the_sink_then_for_nothing() -> None:
    source, sink = Script(None, b"abc"), Takes(1, 0)
    pump = Pump(source.receive, sink.send)
    assert pump.step() is Wants.SOURCE
    assert pump.step() is Wants.SINK
    assert (pump.taken, pump.moved, pump.held) == (3, 1, 2)
    assert pump.step() is Wants.SINK
    assert pump.step() is Wants.NOTHING
    assert sink.got == b"abc"
    assert pump.is_finished
    assert pump.step() is Wants.NOTHING


@given(
    st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=50)), max_size=20),
    st.lists(st.integers(0, 30), max_size=40),
)
def test_all_bytes_arrive_in_order_whatever_the_ends_do(
    pieces: list[bytes | None], counts: list[int]
) -> None:
    sink = Takes(*counts)
    pump = Pump(Script(*pieces).receive, sink.send)
    run(pump)
    assert sink.got == b"".join(filter(None, pieces))
    assert (pump.taken, pump.moved, pump.held) == (len(sink.got), len(sink.got), 0)


def test_end_is_passed_on_once_and_only_when_all_is_through() -> None:
    ends: list[bytes] = []
    sink = Takes(1)
    pump = Pump(Script(b"abc").receive, sink.send, at_end=lambda: ends.append(sink.got))
    run(pump)
    pump.close()
    assert ends == [b"abc"]


def test_source_that_breaks_is_heard_after_what_it_gave() -> None:
    reset, sink = ConnectionResetError(), Takes(0)
    ended: list[None] = []
    pump = Pump(Script(b"final", reset).receive, sink.send, at_end=lambda: ended.append(None))
    run(pump)
    assert (sink.got, pump.source_error, pump.sink_error, ended) == (b"final", reset, None, [])


def test_sink_that_breaks_leaves_what_it_did_not_take_counted() -> None:
    def refuse(data: memoryview) -> int:
        raise BrokenPipeError

    pump = Pump(Script(b"abc", b"never taken").receive, refuse)
    assert run(pump) == []
    assert isinstance(pump.sink_error, BrokenPipeError)
    assert (pump.held, pump.taken, pump.moved) == (3, 3, 0)


def test_released_bytes_count_as_not_taken() -> None:
    pump = Pump(Script(b"abc").receive, Takes(1, 0).send)
    pump.step()
    assert (pump.release(), pump.held, pump.taken) == (b"bc", 0, 1)


def test_bytes_that_are_through_are_not_kept_while_it_waits_for_more() -> None:
    """A relay has thousands of pumps that wait, and each piece may be a large one."""
    piece = bytes(CHUNK_BYTES - 1)
    ours = sys.getrefcount(piece)
    for way in (Pump.step, Pump.pass_on):
        pump = Pump(Script(piece, None).receive, Takes().send, rests=True)
        way(pump)
        assert (pump.moved, sys.getrefcount(piece)) == (len(piece), ours)


def test_transform_may_hold_back_until_the_end() -> None:
    sink = Takes()

    def upper_at_end(data: bytes, final: bool) -> bytes:
        held.append(data)
        return b"".join(held).upper() if final else b""

    held: list[bytes] = []
    run(Pump(Script(b"ab", b"c").receive, sink.send, transform=upper_at_end))
    assert sink.got == b"ABC"


def test_sink_that_has_not_passed_all_on_is_waited_for() -> None:
    flushed = iter([False, True])
    pump = Pump(Script(b"a").receive, Takes().send, is_flushed=lambda: next(flushed))
    assert run(pump) == [Wants.SINK]


def test_sink_that_fails_while_it_is_flushed_has_failed() -> None:
    def fail() -> bool:
        raise OSError(28, "full")

    pump = Pump(Script(b"a").receive, Takes().send, is_flushed=fail)
    run(pump)
    assert pump.sink_error is not None


def test_pump_that_rests_does_not_look_for_more_after_a_few_bytes() -> None:
    bulk = bytes(CHUNK_BYTES)
    source, sink = Script(b"few", bulk, b"more"), Takes()
    pump = Pump(source.receive, sink.send, rests=True)
    assert (pump.step(), sink.got) == (Wants.SOURCE, b"few")
    assert (pump.step(), sink.got) == (Wants.SOURCE, b"few" + bulk + b"more")
    assert pump.step() is Wants.NOTHING


def test_one_step_has_an_end_also_with_an_endless_source() -> None:
    pump = Pump(lambda max_bytes: bytes(max_bytes), len)
    assert pump.step() is Wants.TURN
    assert SHARE_BYTES <= pump.moved <= SHARE_BYTES + CHUNK_BYTES


class Moves:
    """A mover that answers from a list; counts what it was given back."""

    min_bytes = 10
    held = 0

    def __init__(self, *answers: int | OSError | None, sources_fault: bool = False) -> None:
        self.answers = deque(answers)
        self.is_usable = True
        self.is_closed = False
        self.sources_fault = sources_fault

    def try_move(self, max_bytes: int) -> int | None:
        answer = self.answers.popleft()
        if isinstance(answer, OSError):
            raise answer
        self.is_usable = bool(self.answers) or answer is not None
        return answer

    def obstacle(self) -> Wants:
        return Wants.SINK

    def is_sources_fault(self, error: OSError) -> bool:
        return self.sources_fault

    def close(self) -> None:
        self.is_closed = True


def test_mover_is_tried_once_bytes_come_in_bulk_and_left_when_they_do_not() -> None:
    mover = Moves(500, 5, 0)
    source, sink = Script(bytes(CHUNK_BYTES), b"few", bytes(CHUNK_BYTES)), Takes()
    pump = Pump(source.receive, sink.send, mover=mover)
    run(pump)
    assert pump.taken == pump.moved == 2 * CHUNK_BYTES + 3 + 505
    assert mover.is_closed


def test_mover_that_cannot_move_now_says_what_it_waits_for() -> None:
    pump = Pump(Script().receive, Takes().send, mover=Moves(20, None, 0), moves_at_once=True)
    assert pump.step() is Wants.SINK
    assert (pump.moved, pump.step()) == (20, Wants.NOTHING)


def test_mover_that_is_not_usable_gives_way_to_copying() -> None:
    sink, mover = Takes(), Moves(None)
    pump = Pump(Script(b"copied").receive, sink.send, mover=mover, moves_at_once=True)
    run(pump)
    assert (sink.got, mover.is_closed) == (b"copied", True)


class Keeps(Moves):
    """One that takes 100 bytes at once, of which its sink takes as many as the answers say."""

    def try_move(self, max_bytes: int) -> int | None:
        self.held = self.held or 100
        moved = super().try_move(max_bytes)
        self.held -= moved or 0
        return moved


def test_what_a_mover_holds_is_taken_and_not_moved_and_goes_before_all_others() -> None:
    sink = Takes()
    pump = Pump(Script(b"after").receive, sink.send, mover=Keeps(30, None, 70, None), moves_at_once=True)
    assert pump.step() is Wants.SINK
    assert (pump.taken, pump.moved, pump.held) == (100, 30, 70)
    pump._is_bulk = False
    assert (pump._advance(), sink.got, pump.moved, pump.held) == (None, b"", 100, 0)


def test_mover_that_has_no_pipe_leaves_the_next_bytes_to_copying() -> None:
    mover, sink = Moves(None, 20, 0), Takes()
    mover.obstacle = lambda: Wants.TURN  # type: ignore[method-assign]
    pump = Pump(Script(bytes(CHUNK_BYTES)).receive, sink.send, mover=mover, moves_at_once=True)
    run(pump)
    assert (len(sink.got), pump.moved) == (CHUNK_BYTES, CHUNK_BYTES + 20)


def test_what_a_mover_holds_at_the_end_is_lost_and_stays_counted() -> None:
    pump = Pump(Script().receive, Takes().send, mover=Keeps(30, None), moves_at_once=True)
    pump.step()
    pump.close()
    pump.close()
    assert (pump.held, pump.moved) == (70, 30)


@pytest.mark.parametrize("sources_fault", [True, False])
def test_error_of_a_mover_goes_to_the_side_it_came_from(sources_fault: bool) -> None:
    error = OSError(5, "EIO")
    mover = Moves(error, sources_fault=sources_fault)
    pump = Pump(Script().receive, Takes().send, mover=mover, moves_at_once=True)
    assert run(pump) == []
    assert pump.source_error is (error if sources_fault else None)
    assert pump.sink_error is (None if sources_fault else error)


def test_real_pipe_through_a_real_socket_by_copying_and_by_splicing() -> None:
    reader, writer = os.pipe()
    near, far = socket.socketpair()
    near.setblocking(False)
    source, channel = Input(reader), Channel(near)
    pump = Pump(
        source.try_receive,
        channel.try_send,
        mover=SplicedPipe(source, channel),
        at_end=channel.end_sending,
    )
    sent, got = os.urandom(1_000_000), bytearray()
    left = memoryview(sent)
    os.set_blocking(writer, False)
    far.setblocking(False)
    while len(got) < len(sent):
        try:
            left = left[os.write(writer, left) :] if left else left
        except BlockingIOError:
            pass
        pump.step()
        try:
            got += far.recv(1 << 20)
        except BlockingIOError:
            pass
    os.close(writer)
    assert pump.step() is Wants.NOTHING
    assert far.recv(1) == b""
    assert (bytes(got), channel.bytes_sent, source.bytes_received) == (sent, len(sent), len(sent))
    source.close()
    channel.close()
    far.close()
    os.close(reader)


def test_what_the_sink_takes_at_once_is_passed_on_in_one_go_and_the_source_is_waited_for() -> None:
    source, sink = Script(b"abc", b"de", None), Takes()
    pump = Pump(source.receive, sink.send, rests=True)
    assert pump.pass_on() and pump.pass_on() and pump.pass_on()
    assert (sink.got, pump.taken, pump.moved, pump.held) == (b"abcde", 5, 5, 0)


def test_end_and_a_chunk_that_is_full_and_bytes_that_are_held_are_left_to_a_step() -> None:
    for first in (b"", b"x" * CHUNK_BYTES):
        assert not Pump(Script(first).receive, Takes().send, rests=True).pass_on()
    held = Pump(Script(b"abc", b"d").receive, Takes(1, 0).send, rests=True)
    assert not held.pass_on()
    assert held.step() is Wants.SINK
    assert not held.pass_on()
    assert held.held == 2


@given(
    pieces=st.lists(st.none() | st.binary(min_size=1, max_size=5), max_size=20),
    counts=st.lists(st.integers(0, 5), max_size=20),
    in_one_go=st.lists(st.booleans(), min_size=1, max_size=10),
)
def test_bytes_stay_whole_and_in_order_whichever_way_they_are_passed_on(
    pieces: list[bytes | None], counts: list[int], in_one_go: list[bool]
) -> None:
    sink = Takes(*counts)
    pump = Pump(Script(*pieces).receive, sink.send, rests=True)
    for turn in range(1_000):
        if not (in_one_go[turn % len(in_one_go)] and pump.pass_on()) and pump.step() is Wants.NOTHING:
            break
    assert pump.is_finished
    assert sink.got == b"".join(piece for piece in pieces if piece)
    assert pump.taken == pump.moved == len(sink.got)


def test_error_in_one_go_is_kept_with_the_side_it_came_from() -> None:
    source = Pump(Script(ConnectionResetError()).receive, Takes().send, rests=True)
    assert not source.pass_on()
    assert isinstance(source.source_error, ConnectionResetError)
    assert source.step() is Wants.NOTHING

    def refuse(data: memoryview) -> int:
        raise BrokenPipeError

    sink = Pump(Script(b"abc").receive, refuse, rests=True)
    assert not sink.pass_on()
    assert (type(sink.sink_error), sink.held) == (BrokenPipeError, 3)
    assert sink.step() is Wants.NOTHING
