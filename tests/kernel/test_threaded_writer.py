"""A thread that writes: nothing waits for it, everything is counted, an error comes out with the next call."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from afunix.kernel.threaded_writer import ThreadedWriter

MORE_THAN_A_PIPE_HOLDS = 200_000


class Pipe:
    """A pipe with a writer at its end."""

    def __init__(self) -> None:
        self.reader, self.fd = os.pipe()
        self.writer = ThreadedWriter(self.fd)

    def read(self, count: int) -> bytes:
        pieces = []
        while count:
            pieces.append(os.read(self.reader, min(count, 65536)))
            count -= len(pieces[-1])
        return b"".join(pieces)

    def wait_until_idle(self) -> None:
        assert select.select([], [self.writer.ready_fd], [], 10)[1]

    def stop_reading(self) -> None:
        os.close(self.reader)
        self.reader = -1


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    for thread in threading.enumerate():
        if thread.name == "afunix-output":
            thread.join(10)
    for fd in (pipe.reader, pipe.fd):
        if fd >= 0:
            os.close(fd)


def test_buffers_are_written_in_order(pipe: Pipe) -> None:
    assert pipe.writer.try_write([b"a", memoryview(b"bc")]) == 3
    pipe.wait_until_idle()
    assert pipe.writer.try_write([b"d"]) == 1
    assert pipe.read(4) == b"abcd"
    pipe.writer.close()


def test_nothing_is_taken_while_it_is_at_work(pipe: Pipe) -> None:
    pipe.writer.try_write([b"x" * MORE_THAN_A_PIPE_HOLDS])
    assert pipe.writer.try_write([b"y"]) == 0
    assert not pipe.writer.is_idle()
    assert not select.select([], [pipe.writer.ready_fd], [], 0)[1]
    pipe.read(MORE_THAN_A_PIPE_HOLDS)
    pipe.wait_until_idle()
    assert pipe.writer.is_idle()
    pipe.writer.close()


def test_what_is_not_written_yet_is_counted(pipe: Pipe) -> None:
    assert pipe.writer.try_write([b"x" * MORE_THAN_A_PIPE_HOLDS]) == MORE_THAN_A_PIPE_HOLDS
    assert pipe.writer.pending > 0
    pipe.read(MORE_THAN_A_PIPE_HOLDS)
    pipe.wait_until_idle()
    assert pipe.writer.pending == 0
    pipe.writer.close()


def test_nothing_to_write_keeps_it_idle(pipe: Pipe) -> None:
    assert pipe.writer.try_write([b""]) == 0
    assert pipe.writer.is_idle()
    pipe.writer.close()


def test_error_of_the_thread_comes_out_with_every_later_call(pipe: Pipe) -> None:
    pipe.stop_reading()
    assert pipe.writer.try_write([b"lost"]) == 4
    pipe.wait_until_idle()
    with pytest.raises(BrokenPipeError):
        pipe.writer.is_idle()
    with pytest.raises(BrokenPipeError):
        pipe.writer.try_write([b"x"])
    assert pipe.writer.pending == 4
    pipe.writer.close()


def test_open_file_that_somebody_made_non_blocking_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.fd, False)
    pipe.writer.try_write([b"x" * MORE_THAN_A_PIPE_HOLDS])
    assert pipe.read(MORE_THAN_A_PIPE_HOLDS) == b"x" * MORE_THAN_A_PIPE_HOLDS
    pipe.wait_until_idle()
    assert pipe.writer.is_idle()
    pipe.writer.close()


def test_thread_that_is_stuck_is_left_behind_and_cleans_up_after_itself(pipe: Pipe) -> None:
    pipe.writer.try_write([b"x" * MORE_THAN_A_PIPE_HOLDS])
    pipe.read(1)  # the thread has begun
    pipe.writer.close()
    pipe.read(MORE_THAN_A_PIPE_HOLDS - 1)


def test_who_writes_without_a_thread_does_not_pay_for_one() -> None:
    code = "import sys, afunix.kernel.output; print('threading' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
