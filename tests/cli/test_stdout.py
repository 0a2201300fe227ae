"""Data on STDOUT whole, or a reason why not; a reader that left is no news."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.program import PATIENCE_S, environment

WRITER = "import sys; from afunix.cli import stdout; sys.exit(abs(stdout.write({what})) + 100)"


def writing(what: str, stdout: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", WRITER.format(what=what)]
    return subprocess.Popen(argv, stdout=stdout, stderr=subprocess.PIPE, env=environment())


def status_and_words(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    _, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode - 100, err


def test_all_of_it_goes_to_a_slow_reader_whose_pipe_does_not_block() -> None:
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    process = writing("'ä' * 500_000", write_fd)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        assert pipe.read() == "ä".encode() * 500_000
    assert status_and_words(process) == (0, b"")


def test_a_reader_that_left_is_sigpipe_without_a_word() -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    process = writing("'x'", write_fd)
    os.close(write_fd)
    assert status_and_words(process) == (signal.SIGPIPE, b"")


def test_a_full_device_is_said() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    process = writing("'x'", fd)
    os.close(fd)
    words = b"afunix: error: cannot write to STDOUT: no space left on device (ENOSPC)\n"
    assert status_and_words(process) == (1, words)


def test_what_is_no_text_is_written_all_the_same() -> None:
    process = writing("'\\udcff'", subprocess.PIPE)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert out == b"\\udcff"


ABANDONED = "import sys; from afunix.cli import stdout; sys.exit(stdout.is_abandoned(float(sys.argv[1])))"


def test_waiting_ends_when_the_reader_leaves() -> None:
    argv = [sys.executable, "-c", ABANDONED, str(10 * PATIENCE_S)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 1


def test_a_file_is_never_abandoned() -> None:
    argv = [sys.executable, "-c", ABANDONED, "0.01"]
    assert subprocess.run(argv, stdout=subprocess.DEVNULL, env=environment(), check=False).returncode == 0
