"""Pumps on a loop: a real Pump between sockets, and a scripted one that says what it wants."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.loops import HandTurned

from afunix.kernel.channel import Channel
from afunix.kernel.pump import Pump, Wants
from afunix.streams.pumping import PumpTask

NewPair = Callable[..., tuple[socket.socket, socket.socket]]
BULK = bytes(range(256)) * 8192


class Scripted:
    """A pump that wants one thing after the other."""

    def __init__(self, *wants: Wants) -> None:
        self.wants = list(wants)
        self.steps = 0
        self.closed = 0

    def step(self) -> Wants:
        self.steps += 1
        return self.wants.pop(0)

    def close(self) -> None:
        self.closed += 1


@contextmanager
def task_of(
    loop: HandTurned, pump: Scripted | Pump, source_fd: int | None, sink_fd: int | None
) -> Iterator[list[str]]:
    """A started PumpTask; what is yielded has one "finished" for each time it said so."""
    finished: list[str] = []
    task = PumpTask(
        pump,
        loop,
        source_fd=lambda: source_fd,
        sink_fd=lambda: sink_fd,
        on_finished=lambda: finished.append("finished"),
    )
    task.start()
    try:
        yield finished
    finally:
        task.close()


def test_everything_goes_through_and_the_end_is_told_once(loop: HandTurned, new_pair: NewPair) -> None:
    (client, ours), (theirs, server) = new_pair(), new_pair()
    source, sink = Channel(ours), Channel(theirs)
    client.setblocking(False)
    server.setblocking(False)
    pump = Pump(source.try_receive, sink.try_send, at_end=sink.end_sending)
    left, out = memoryview(BULK), bytearray()
    with task_of(loop, pump, ours.fileno(), theirs.fileno()) as finished:
        while len(out) < len(BULK):
            left = left[_send(client, left) :]
            if not left:
                client.shutdown(socket.SHUT_WR)
            loop.turn()
            out += _receive(server)
        loop.turn(3)
        assert finished == ["finished"]
    assert out == BULK
    assert server.recv(1) == b""


def test_nothing_is_done_before_the_loop_turns(loop: HandTurned) -> None:
    pump = Scripted(Wants.NOTHING)
    with task_of(loop, pump, None, None) as finished:
        assert (pump.steps, finished) == (0, [])
        loop.turn()
        assert (pump.steps, finished) == (1, ["finished"])


def test_source_is_waited_for_without_a_step(loop: HandTurned, new_pair: NewPair) -> None:
    ours, theirs = new_pair()
    pump = Scripted(Wants.SOURCE, Wants.NOTHING)
    with task_of(loop, pump, ours.fileno(), None) as finished:
        loop.turn(100)
        assert pump.steps == 1
        theirs.send(b"x")
        loop.turn(2)
        assert (pump.steps, finished) == (2, ["finished"])


def test_sink_is_waited_for_without_a_step(loop: HandTurned, new_pair: NewPair) -> None:
    ours, theirs = new_pair()
    ours.setblocking(False)
    while _send(ours, memoryview(BULK)):
        pass
    pump = Scripted(Wants.SINK, Wants.NOTHING)
    with task_of(loop, pump, None, ours.fileno()) as finished:
        loop.turn(100)
        assert pump.steps == 1
        theirs.recv(1 << 22)
        loop.turn(2)
        assert finished == ["finished"]


def test_after_its_share_it_waits_for_its_next_turn_only(loop: HandTurned) -> None:
    pump = Scripted(*[Wants.TURN] * 5, Wants.NOTHING)
    with task_of(loop, pump, None, None) as finished:
        loop.turn(3)
        assert pump.steps == 3
        loop.turn(3)
        assert finished == ["finished"]


def test_descriptor_that_is_always_ready_is_tried_again_each_turn(loop: HandTurned) -> None:
    pump = Scripted(Wants.SOURCE, Wants.SINK, Wants.NOTHING)
    with task_of(loop, pump, None, None) as finished:
        loop.turn(3)
        assert finished == ["finished"]


def test_waiting_moves_from_source_to_sink(loop: HandTurned, new_pair: NewPair) -> None:
    (ours, theirs), (sink, _) = new_pair(), new_pair()
    pump = Scripted(Wants.SOURCE, Wants.SINK, Wants.SINK, Wants.NOTHING)
    theirs.send(b"x")  # stays unread: a reader that was left behind would step on
    with task_of(loop, pump, ours.fileno(), sink.fileno()) as finished:
        loop.turn(2)
        assert pump.steps == 2
        loop.turn(2)
        assert finished == ["finished"]
        loop.turn(5)
        assert pump.steps == 4


def test_close_waits_for_nothing_any_more_and_ends_the_pump(loop: HandTurned, new_pair: NewPair) -> None:
    ours, theirs = new_pair()
    pump = Scripted(Wants.SOURCE)
    with task_of(loop, pump, ours.fileno(), None):
        loop.turn(2)
    assert pump.closed == 1
    theirs.send(b"x")
    loop.turn(3)
    assert pump.steps == 1


def test_close_before_the_first_turn_takes_no_step(loop: HandTurned) -> None:
    pump = Scripted(Wants.NOTHING)
    with task_of(loop, pump, None, None) as finished:
        pass
    loop.turn(2)
    assert (pump.steps, finished) == (0, [])


def _send(sock: socket.socket, data: memoryview) -> int:
    try:
        return sock.send(data) if data else 0
    except BlockingIOError:
        return 0


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""
