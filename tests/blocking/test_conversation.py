"""The loop over two pumps: when it goes on, when it stops, and what it waits for."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import count
from typing import Any

import pytest

from afunix.blocking.conversation import Conversation
from afunix.kernel.channel import Channel
from afunix.kernel.input import Input
from afunix.kernel.interrupts import Interrupts
from afunix.kernel.output import Output
from afunix.kernel.pump import Pump
from afunix.model.patience import Ending


class Stage:
    """A channel whose other end is `far`, a pipe to type into, and a pipe where the answers come out."""

    def __init__(self, stack: ExitStack) -> None:
        near, self.far = socket.socketpair()
        stack.callback(self.far.close)
        self.channel = Channel(near)
        stack.callback(self.channel.close)
        self.stdin, self.typing = os.pipe()
        self.shown, self.stdout = os.pipe()
        self.open = {self.stdin, self.typing, self.shown, self.stdout}
        stack.callback(self.close_pipes)
        self.source, self.output = Input(self.stdin), Output(self.stdout)
        stack.callback(self.source.close)
        stack.callback(self.output.close)

    def close_pipes(self) -> None:
        for fd in self.open:
            os.close(fd)

    def close(self, fd: int) -> None:
        self.open.remove(fd)
        os.close(fd)

    def conversation(self, *, sends: bool = True, **options: Any) -> Conversation:
        inward = Pump(self.channel.try_receive, lambda view: self.output.try_write((view,)))
        outward = Pump(self.source.try_receive, self.channel.try_send, at_end=self.channel.end_sending)
        return Conversation(
            self.channel,
            inward,
            outward if sends else None,
            source=self.source if sends else None,
            output=self.output,
            **options,
        )


@pytest.fixture
def stage() -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack)


def test_it_ends_when_both_directions_have_ended(stage: Stage) -> None:
    os.write(stage.typing, b"question")
    stage.close(stage.typing)
    stage.far.sendall(b"answer")
    stage.far.shutdown(socket.SHUT_WR)
    conversation = stage.conversation()
    assert conversation.run() is Ending.ENDED
    assert conversation.is_clean
    assert (stage.far.recv(100), os.read(stage.shown, 100)) == (b"question", b"answer")


def test_it_ends_at_once_when_the_peer_is_gone(stage: Stage) -> None:
    stage.far.close()
    conversation = stage.conversation()
    assert conversation.run() is Ending.ENDED
    assert conversation.hung_up
    assert not conversation.is_clean  # STDIN has not ended: somebody has to look whether it had more


def test_peer_that_leaves_after_its_end_without_reading_all_has_broken_off(stage: Stage) -> None:
    stage.far.shutdown(socket.SHUT_WR)
    os.write(stage.typing, b"nobody reads this")
    conversation = stage.conversation()
    waiting = conversation._wait

    def wait() -> None:
        if stage.channel.bytes_sent and conversation.inward.is_finished:
            stage.far.close()
        waiting()

    conversation._wait = wait  # type: ignore[method-assign]
    assert conversation.run() is Ending.ENDED
    assert not conversation.is_clean
    assert conversation.outward is not None
    assert isinstance(conversation.outward.sink_error, ConnectionResetError)


def test_nothing_to_send_ends_with_the_peers_half_close(stage: Stage) -> None:
    stage.far.shutdown(socket.SHUT_WR)
    conversation = stage.conversation(sends=False)
    assert conversation.run() is Ending.ENDED
    assert conversation.is_clean


def test_half_close_of_the_peer_does_not_end_what_is_sent(stage: Stage) -> None:
    stage.far.shutdown(socket.SHUT_WR)
    conversation = stage.conversation(idle_timeout=0.02)
    assert conversation.run() is Ending.IDLE


def test_reader_of_the_output_that_leaves_ends_it_without_a_byte(stage: Stage) -> None:
    stage.close(stage.shown)
    conversation = stage.conversation()
    assert conversation.run() is Ending.OUTPUT
    assert conversation.output_gone


def test_output_that_breaks_with_bytes_is_the_pumps_error(stage: Stage) -> None:
    conversation = stage.conversation()
    conversation.output = None  # nobody watches it
    stage.close(stage.shown)
    stage.far.sendall(b"lost")
    assert conversation.run() is Ending.OUTPUT
    assert conversation.inward.held == 4


def test_source_that_cannot_be_read_ends_it(stage: Stage, sock_dir: str) -> None:
    directory = os.open(sock_dir, os.O_RDONLY)
    stage.source.close()
    stage.source = Input(directory)
    conversation = stage.conversation()
    assert conversation.run() is Ending.ENDED
    assert conversation.outward is not None
    assert isinstance(conversation.outward.source_error, IsADirectoryError)
    os.close(directory)


def test_end_of_the_source_ends_datagrams(stage: Stage) -> None:
    stage.close(stage.typing)
    stage.far.sendall(b"already here")
    conversation = stage.conversation(ends_with_source=True, has_end=False)
    assert conversation.run() is Ending.ENDED
    assert os.read(stage.shown, 100) == b"already here"


def test_deadline_passes(stage: Stage) -> None:
    ticks = count()
    conversation = stage.conversation(deadline=3, now=lambda: next(ticks))
    assert conversation.run() is Ending.WHOLE


def test_stopped_output_is_polled_for_room_and_not_for_more_to_read(stage: Stage) -> None:
    while stage.output.try_write([bytes(65536)]):
        pass
    stage.far.sendall(b"x")
    conversation = stage.conversation()
    conversation._step()
    masks = conversation._masks()
    assert stage.output.wait_fd is not None
    assert masks[stage.output.wait_fd] & select.POLLOUT
    assert not masks[stage.channel.fd] & select.POLLIN
    assert conversation._poll_timeout() is None


def test_peer_that_is_gone_does_not_make_it_spin_while_the_output_is_full(stage: Stage) -> None:
    while stage.output.try_write([bytes(65536)]):
        pass
    stage.far.sendall(b"x")
    stage.far.close()
    conversation = stage.conversation()
    conversation._step()
    conversation._note(stage.channel.fd, select.POLLHUP)
    assert stage.channel.fd not in conversation._masks()
    assert stage.source.wait_fd not in conversation._masks()
    conversation._step()
    assert conversation._poll_timeout() is None
    assert conversation._ending() is None  # what was received is still to be written


def test_peer_that_leaves_in_the_middle_of_a_bulk_does_not_make_it_spin_either(stage: Stage) -> None:
    conversation = stage.conversation()
    conversation.outward = Pump(lambda max_bytes: bytes(max_bytes), len)  # endless, and never full
    while stage.output.try_write([bytes(65536)]):
        pass
    stage.far.sendall(b"x")
    conversation._step()
    assert conversation._poll_timeout() == 0
    conversation._note(stage.channel.fd, select.POLLHUP)
    conversation._step()
    assert conversation._poll_timeout() is None


@contextmanager
def terminated_after_a_moment() -> Iterator[None]:
    """SIGTERM to ourselves as soon as something is waited for."""
    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("is_shared", [False, True])
def test_signal_ends_it_and_tells_the_peer_unless_the_socket_is_shared(stage: Stage, is_shared: bool) -> None:
    with Interrupts() as interrupts, terminated_after_a_moment():
        conversation = stage.conversation(interrupts=interrupts, is_shared=is_shared)
        assert conversation.run() is Ending.SIGNAL
    with nullcontext() if is_shared else pytest.raises(BrokenPipeError):
        stage.far.send(b"more")


def test_what_waits_in_the_socket_at_a_signal_is_written(stage: Stage) -> None:
    with Interrupts() as interrupts:
        conversation = stage.conversation(interrupts=interrupts)
        interrupts.number = signal.SIGTERM
        stage.far.sendall(b"received")
        assert conversation.run() is Ending.SIGNAL
    assert os.read(stage.shown, 100) == b"received"


def test_output_that_nobody_reads_is_given_up_after_a_signal(stage: Stage) -> None:
    while stage.output.try_write([bytes(65536)]):
        pass
    stage.far.sendall(b"unwritten")
    ticks = count(step=2)
    with Interrupts() as interrupts:
        conversation = stage.conversation(interrupts=interrupts, now=lambda: next(ticks) * 2.4)
        interrupts.number = signal.SIGTERM
        conversation._flush()
    assert conversation.inward.held == len(b"unwritten")
