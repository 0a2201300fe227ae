"""Files that are waited for: until they are there, the deadline, or a signal."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.program import PATIENCE_S

from afunix.blocking.interruptible import DeadlinePassed, Interruptible
from afunix.blocking.slow_files import open_file, read_to_end
from afunix.kernel.interrupts import Interrupted, Interrupts


@contextmanager
def waits(seconds: float | None = PATIENCE_S) -> Iterator[Interruptible]:
    with Interrupts() as interrupts:
        yield Interruptible(interrupts, seconds)


@pytest.fixture
def fifo(sock_dir: str) -> Iterator[str]:
    """One that nobody has open; at the end whoever waits for it is let go."""
    path = os.path.join(sock_dir, "fifo")
    os.mkfifo(path)
    yield path
    os.close(os.open(path, os.O_RDWR))


def test_a_plain_file_is_opened_at_once(sock_dir: str) -> None:
    with waits(0.0) as now:
        fd = open_file(os.path.join(sock_dir, "new"), os.O_WRONLY | os.O_CREAT, 0o600, now)
        os.close(fd)


def test_what_cannot_be_opened_is_the_kernels_word(sock_dir: str, fifo: str) -> None:
    with waits() as patient:
        for path, error in ((f"{sock_dir}/none", FileNotFoundError), (fifo, NotADirectoryError)):
            with pytest.raises(error):
                open_file(path, os.O_RDONLY | os.O_DIRECTORY, 0, patient)


def test_a_fifo_is_opened_when_its_other_end_is(fifo: str) -> None:
    other = threading.Thread(target=lambda: os.close(os.open(fifo, os.O_WRONLY)))
    other.start()
    with waits() as patient:
        os.close(open_file(fifo, os.O_RDONLY, 0, patient))
    other.join()


def test_the_deadline_ends_the_wait_for_the_other_end(fifo: str) -> None:
    with waits(0.01) as impatient, pytest.raises(DeadlinePassed):
        open_file(fifo, os.O_WRONLY, 0, impatient)


def test_a_signal_ends_the_wait_for_the_other_end(fifo: str) -> None:
    with waits() as patient:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            open_file(fifo, os.O_RDONLY, 0, patient)


def test_one_that_is_opened_too_late_is_closed(fifo: str) -> None:
    with waits(0.01) as impatient, pytest.raises(DeadlinePassed):
        open_file(fifo, os.O_RDONLY, 0, impatient)
    (opening,) = (thread for thread in threading.enumerate() if thread.name == "afunix-open")
    writer = os.open(fifo, os.O_WRONLY)
    opening.join(PATIENCE_S)
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    os.close(writer)


def test_a_file_is_read_to_its_end(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "file")
    with open(path, "wb") as file:
        file.write(b"x" * 100_000)
    with waits() as patient, open(path, "rb") as file:
        assert read_to_end(file.fileno(), 1 << 20, patient) == b"x" * 100_000


def test_of_too_much_one_byte_more_is_read() -> None:
    with waits() as patient, open("/dev/zero", "rb") as zeros:
        assert read_to_end(zeros.fileno(), 100_000, patient) == bytes(100_001)


def test_a_pipe_that_stays_open_is_left_at_the_deadline() -> None:
    near, far = os.pipe()
    os.write(far, b"x")
    with waits(0.01) as impatient, pytest.raises(DeadlinePassed):
        read_to_end(near, 9, impatient)
    os.close(near)
    os.close(far)
