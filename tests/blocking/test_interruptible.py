"""The waits of a run: ended by the descriptor, by the deadline, or by a signal."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator

import pytest

from afunix.blocking.interruptible import DeadlinePassed, Interruptible
from afunix.kernel.interrupts import Interrupted, Interrupts


@pytest.fixture
def quiet() -> Iterator[socket.socket]:
    one, other = socket.socketpair()
    with one, other:
        yield one


def test_what_is_ready_ends_a_wait(quiet: socket.socket) -> None:
    with Interrupts() as interrupts:
        Interruptible(interrupts, None).until(quiet.fileno(), select.POLLOUT)


def test_the_deadline_ends_a_wait(quiet: socket.socket) -> None:
    with Interrupts() as interrupts:
        waits = Interruptible(interrupts, 0.001)
        with pytest.raises(DeadlinePassed):
            waits.until(quiet.fileno(), select.POLLIN)
        assert waits.left() == 0


def test_a_signal_ends_a_wait(quiet: socket.socket) -> None:
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            Interruptible(interrupts, None).until(quiet.fileno(), select.POLLIN)


def test_an_attempt_is_made_until_it_gives_something(quiet: socket.socket) -> None:
    answers = iter([None, None, 7])
    with Interrupts() as interrupts:
        waits = Interruptible(interrupts, None)
        assert waits.until_done(lambda: next(answers), quiet.fileno(), select.POLLOUT) == 7
