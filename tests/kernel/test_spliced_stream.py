"""From socket to socket through a borrowed pipe: every byte once and in order, and the pipe back when it is empty."""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.collecting import ROOMY_BYTES

from afunix.kernel.connected_socket import ConnectedSocket
from afunix.kernel.pipes import PipePool
from afunix.kernel.pump import Wants
from afunix.kernel.spliced_stream import SplicedStream

BULK = random.Random(1).randbytes(3 << 20)


class Way:
    """A mover from one socket to another; `sender` and `receiver` are at the other ends."""

    def __init__(self, stack: ExitStack, pipes: int = 1) -> None:
        source, self.sender = socket.socketpair()
        sink, self.receiver = socket.socketpair()
        for sock in (source, self.sender, sink, self.receiver):
            stack.enter_context(sock)
        for sock in (self.sender, self.receiver):
            sock.setblocking(False)
        self.sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOMY_BYTES)
        self.source, self.sink = ConnectedSocket(source), ConnectedSocket(sink)
        self.pool = PipePool(pipes)
        self.mover = SplicedStream(self.source, self.sink, self.pool)
        stack.callback(self.pool.close)
        stack.callback(self.mover.close)

    def has_pipe(self) -> bool:
        pipe = self.pool.borrow()
        if pipe is not None:
            self.pool.give_back(pipe)
        return pipe is not None

    def stall(self) -> int:
        """Send until the sink takes no more; how many bytes the mover holds then."""
        self.sender.send(BULK)
        while self.mover.try_move(1 << 20) is not None:
            pass
        return self.mover.held


@pytest.fixture
def way() -> Iterator[Way]:
    with ExitStack() as stack:
        yield Way(stack)


def test_sockets_that_would_wait_are_told_not_to_with_the_first_move(way: Way) -> None:
    fds = way.source.fd, way.sink.fd
    assert [os.get_blocking(fd) for fd in fds] == [True, True]
    way.mover.try_move(1 << 20)
    assert [os.get_blocking(fd) for fd in fds] == [False, False]


def test_bytes_go_through_and_the_pipe_comes_back(way: Way) -> None:
    way.sender.send(b"hello")
    assert way.mover.try_move(1 << 20) == 5
    assert way.receiver.recv(99) == b"hello"
    assert (way.source.bytes_received, way.sink.bytes_sent, way.mover.held) == (5, 5, 0)
    assert way.has_pipe()


def test_source_that_has_nothing_is_waited_for_without_a_pipe(way: Way) -> None:
    assert way.mover.try_move(1 << 20) is None
    assert (way.mover.obstacle(), way.mover.is_usable, way.has_pipe()) == (Wants.SOURCE, True, True)


def test_end_of_the_source_is_zero(way: Way) -> None:
    way.sender.close()
    assert (way.mover.try_move(1 << 20), way.has_pipe()) == (0, True)


def test_sink_that_takes_no_more_leaves_bytes_in_the_pipe_and_they_go_first(way: Way) -> None:
    held = way.stall()
    assert 0 < held <= 1 << 20
    assert (way.mover.obstacle(), way.has_pipe()) == (Wants.SINK, False)
    assert way.source.bytes_received == way.sink.bytes_sent + held
    got = bytearray()
    while len(got) < len(BULK):
        try:
            got += way.receiver.recv(1 << 20)
        except BlockingIOError:
            assert way.mover.try_move(1 << 20)
    assert bytes(got) == BULK


def test_nothing_is_taken_while_something_is_held(way: Way) -> None:
    way.stall()
    before = way.source.bytes_received
    assert way.mover.try_move(1 << 20) is None
    assert way.source.bytes_received == before


def test_without_a_pipe_nothing_is_moved_and_copying_is_asked_for() -> None:
    with ExitStack() as stack:
        way = Way(stack, pipes=0)
        way.sender.send(b"hello")
        assert way.mover.try_move(1 << 20) is None
        assert (way.mover.obstacle(), way.mover.is_usable) == (Wants.TURN, True)


def test_closing_gives_the_pipe_back_and_its_bytes_reach_nobody_else(way: Way) -> None:
    way.stall()
    way.mover.close()
    way.mover.close()
    other = way.pool.borrow()
    assert other is not None
    with pytest.raises(BlockingIOError):
        os.read(other.out_of, 1)
    way.pool.give_back(other)


def test_reset_is_the_sources_fault_and_comes_after_its_bytes(way: Way) -> None:
    way.source.socket.send(b"unread")
    way.sender.send(b"last words")
    way.sender.close()
    assert way.mover.try_move(1 << 20) == 10
    with pytest.raises(ConnectionResetError) as caught:
        way.mover.try_move(1 << 20)
    assert way.mover.is_sources_fault(caught.value)


def test_sink_that_is_gone_is_the_sinks_fault_and_keeps_what_it_did_not_take(way: Way) -> None:
    way.sender.send(b"hello")
    way.receiver.close()
    with pytest.raises(BrokenPipeError) as caught:
        way.mover.try_move(1 << 20)
    assert not way.mover.is_sources_fault(caught.value)
    assert way.mover.held == 5


def test_kernel_that_cannot_splice_makes_it_unusable(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> int:
        raise OSError(errno.EINVAL, "not here")

    way.sender.send(b"hello")
    monkeypatch.setattr(os, "splice", refuse)
    assert way.mover.try_move(1 << 20) is None
    assert (way.mover.is_usable, way.mover.held) == (False, 0)
