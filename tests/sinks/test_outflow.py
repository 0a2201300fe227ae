"""The way out: what is queued leaves in order and once, a full output stalls it, a broken one is told once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.loops import HandTurned

from afunix.kernel.output import MAX_BUFFERS, Output
from afunix.sinks.outflow import Outflow

PIPE_BYTES = 4096


class Flow:
    """An Outflow into a small pipe, and what it told."""

    def __init__(self, reader: int, output: Output) -> None:
        self.loop = HandTurned()
        self.reader = reader
        self.told: list[str] = []
        self.failures: list[OSError] = []
        self.outflow = Outflow(
            output,
            self.loop,
            on_stall=lambda: self.told.append("stall"),
            on_flow=lambda: self.told.append("flow"),
            on_failure=self.failures.append,
        )

    def read(self, max_bytes: int = 1 << 20) -> bytes:
        try:
            return os.read(self.reader, max_bytes)
        except BlockingIOError:
            return b""

    def lose_reader(self) -> None:
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, self.reader)
        os.close(null)


@contextmanager
def small_pipe() -> Iterator[Flow]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    output = Output(writer)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    flow = Flow(reader, output)
    try:
        yield flow
    finally:
        flow.outflow.close()
        flow.loop.close()
        output.close()
        os.close(reader)
        os.close(writer)


@pytest.fixture
def flow() -> Iterator[Flow]:
    with small_pipe() as flow:
        yield flow


def spy_on_writes(output: Output) -> list[int]:
    """How many buffers each write to `output` was given, from now on."""
    writes: list[int] = []
    write = output.try_write

    def spy(buffers: Sequence[bytes | memoryview]) -> int:
        writes.append(len(buffers))
        return write(buffers)

    output.try_write = spy
    return writes


def test_nothing_is_written_before_a_flush(flow: Flow) -> None:
    flow.outflow.queue(b"one")
    flow.outflow.queue(b"two")
    assert (flow.read(), flow.outflow.queued) == (b"", 6)
    assert flow.outflow.flush()
    assert (flow.read(), flow.outflow.queued, flow.outflow.written) == (b"onetwo", 0, 6)


def test_flush_soon_writes_once_with_what_else_came_in_this_turn(flow: Flow) -> None:
    writes = spy_on_writes(flow.outflow.output)
    flow.outflow.queue(b"one")
    flow.outflow.flush_soon()
    flow.outflow.queue(b"two")
    flow.outflow.flush_soon()
    flow.loop.turn()
    assert (flow.read(), writes) == (b"onetwo", [2])


def test_flush_of_nothing_is_a_success_and_schedules_nothing(flow: Flow) -> None:
    assert flow.outflow.flush()
    flow.outflow.flush_soon()
    flow.loop.turn()
    assert flow.outflow.written == 0


def test_more_buffers_than_one_writev_takes_all_leave(flow: Flow) -> None:
    for number in range(MAX_BUFFERS + 1):
        flow.outflow.queue(b"%d" % (number % 10))
    assert flow.outflow.flush()
    assert flow.read() == b"".join(b"%d" % (number % 10) for number in range(MAX_BUFFERS + 1))


def test_full_pipe_stalls_once_and_goes_on_by_itself(flow: Flow) -> None:
    data = bytes(range(250)) * 40
    flow.outflow.queue(data)
    assert not flow.outflow.flush()
    assert not flow.outflow.flush()
    assert (flow.told, flow.outflow.is_blocked) == (["stall"], True)
    out = b""
    while len(out) < len(data):
        flow.loop.turn()
        out += flow.read()
    flow.loop.turn()
    assert out == data
    assert flow.told[0] == "stall"
    assert flow.told[-1] == "flow"
    assert not flow.outflow.is_blocked


def test_stalled_one_is_not_tried_again_before_there_is_room(flow: Flow) -> None:
    flow.outflow.queue(b"x" * (PIPE_BYTES + 1))
    flow.outflow.flush()
    writes = spy_on_writes(flow.outflow.output)
    flow.loop.turn(100)
    assert writes == []


def test_time_in_which_nothing_is_taken_is_counted(flow: Flow) -> None:
    flow.outflow.queue(b"x" * (PIPE_BYTES + 1))
    flow.loop.now += 5
    assert flow.outflow.stalled_s() == 0
    flow.outflow.flush()
    flow.loop.now += 3
    assert flow.outflow.stalled_s() == 3
    flow.read()
    flow.loop.turn(2)
    flow.loop.now += 7
    assert flow.outflow.stalled_s() == 3


def test_is_full_looks_and_does_not_write(flow: Flow) -> None:
    assert not flow.outflow.is_full()
    flow.outflow.queue(b"x" * (PIPE_BYTES + 1))
    flow.outflow.flush()
    assert flow.outflow.is_full()
    flow.read()
    assert not flow.outflow.is_full()


@pytest.mark.parametrize("stalled_before", [False, True])
def test_reader_that_is_gone_is_told_once_and_the_rest_is_kept_count_of(
    flow: Flow, stalled_before: bool
) -> None:
    size = PIPE_BYTES + 5 if stalled_before else 5
    flow.outflow.queue(b"x" * size)
    if stalled_before:
        flow.outflow.flush()
    flow.lose_reader()
    if stalled_before:
        flow.loop.turn(2)
    assert not flow.outflow.flush()
    assert not flow.outflow.flush()
    assert [type(failure) for failure in flow.failures] == [BrokenPipeError]
    assert (flow.outflow.has_failed, flow.outflow.is_blocked) == (True, True)
    assert (flow.told, flow.outflow.bytes_unwritten()) == (["stall"] * (1 + stalled_before), 5)


def test_close_watches_nothing_any_more(flow: Flow) -> None:
    flow.outflow.queue(b"x" * (PIPE_BYTES + 1))
    flow.outflow.flush()
    flow.outflow.close()
    flow.outflow.close()
    flow.read()
    flow.loop.turn(3)
    assert flow.told == ["stall"]


def test_file_never_stalls(sock_dir: str) -> None:
    with open(f"{sock_dir}/out", "wb+") as file:
        output = Output(file.fileno())
        flow = Flow(file.fileno(), output)
        flow.outflow.queue(b"x" * 3_000_000)
        assert flow.outflow.flush()
        assert not flow.outflow.is_full()
        assert os.fstat(file.fileno()).st_size == 3_000_000
        flow.loop.close()
        output.close()


@settings(derandomize=True, database=None, deadline=None, max_examples=60)
@given(
    pieces=st.lists(st.binary(max_size=3000), max_size=20),
    acts=st.lists(st.integers(0, 9000), max_size=30),
)
def test_bytes_leave_in_order_and_once_whatever_the_reader_does(pieces: list[bytes], acts: list[int]) -> None:
    with small_pipe() as flow:
        left, out = list(pieces), b""
        for act in acts:
            if act % 2 and left:
                flow.outflow.queue(left.pop(0))
                flow.outflow.flush()
            elif act:
                out += flow.read(act)
                flow.loop.turn()
        for piece in left:
            flow.outflow.queue(piece)
        flow.outflow.flush()
        assert out + b"".join(rest_of(flow)) == b"".join(pieces)


def rest_of(flow: Flow) -> Iterator[bytes]:
    """What is still on its way, until all has come."""
    while (piece := flow.read()) or flow.outflow.queued:
        yield piece
        flow.loop.turn()
