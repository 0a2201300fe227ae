"""Starting and ending what is measured: servers, what reads their STDOUT, and the clients.

Whoever is started here is ended here, by its process id, when its `with` block is left; a server with all
members of its session, as some leave children behind. Every wait has a limit (MeasurementError), so that a
contender that hangs costs a row and not the run.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from bench import measure
from bench.measure import MeasurementError

READY_TIMEOUT_S = 10.0
WORK_TIMEOUT_S = 120.0
_STEADY_S = 0.03


@dataclass(frozen=True, slots=True)
class Server:
    """A server since `started` (time.monotonic); its `session` holds it and all that it forks."""

    process: subprocess.Popen[bytes]
    socket: str
    words: IO[bytes]
    started: float

    @property
    def session(self) -> int:
        return self.process.pid

    def is_connectable(self) -> bool:
        """One connect, closed at once: a client without bytes. MeasurementError if the server has ended."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.socket)
            except OSError:
                if self.process.poll() is not None:
                    raise MeasurementError(f"the server ended ({last_words(self.words)})") from None
                return False
        return True

    def wait_ready(self) -> float:
        """The time of the first successful connect. Returns when that one has gone and the CPU is at rest."""
        connectable = measure.wait_until(self.is_connectable, "a connectable server", READY_TIMEOUT_S)
        self.wait_connections_gone(READY_TIMEOUT_S)
        self.settled_cpu_s()
        return connectable

    def wait_connections_gone(self, timeout_s: float) -> float:
        """The time at which the server had closed its last connection."""
        return measure.wait_until(
            lambda: measure.connection_count(self.socket) == 0, "the end of all connections", timeout_s
        )

    def settled_cpu_s(self, steady_s: float = _STEADY_S) -> float:
        """CPU seconds, once they have not grown for `steady_s` (a forking server reaps its children late)."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        before = measure.cpu_s(self.session)
        while True:
            time.sleep(steady_s)
            now = measure.cpu_s(self.session)
            if now == before or time.monotonic() > deadline:
                return now
            before = now


def last_words(words: IO[bytes]) -> str:
    """The last line that a program wrote to its STDERR and that says what happened, or nothing."""
    words.seek(0)
    lines = words.read().decode("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line and "hint:" not in line), "")


@contextlib.contextmanager
def running_server(
    argv: Sequence[str], path: str, stdout: int, *, stderr_is_stdout: bool = False
) -> Iterator[Server]:
    """A server in a session of its own, its STDIN a pipe in which nothing ever comes, as at a terminal.

    It is not waited for. `stdout` stays the caller's. The whole session is killed at the end.
    """
    silent_read, silent_write = os.pipe()
    with tempfile.TemporaryFile() as words:
        try:
            started = time.monotonic()
            process = subprocess.Popen(
                argv,
                stdin=silent_read,
                stdout=stdout,
                stderr=stdout if stderr_is_stdout else words,
                start_new_session=True,
            )
            try:
                yield Server(process, path, words, started)
            finally:
                _end_session(process)
        finally:
            os.close(silent_read)
            os.close(silent_write)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """Kills by process id; the unreaped leader keeps the session's number from being given away."""
    while alive := measure.members(process.pid):
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
    process.wait()


@contextlib.contextmanager
def running(
    argv: Sequence[str], *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """A client or a helper, killed at the end. A failure in the block adds its last words."""
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=words)
        try:
            yield process
        except MeasurementError as error:
            process.kill()
            process.wait()
            said = last_words(words)
            raise MeasurementError(f"{error} ({said})" if said else str(error)) from None
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


def wait_exit(process: subprocess.Popen[bytes], timeout_s: float = WORK_TIMEOUT_S) -> None:
    """Returns at the instant of its end with status 0 (`Popen.wait` with a limit looks only now and then).

    Raises MeasurementError for another status or a late end.
    """
    descriptor = os.pidfd_open(process.pid)
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        if not ended.poll(timeout_s * 1000):
            raise MeasurementError(f"the client did not end within {timeout_s:g} s")
    finally:
        os.close(descriptor)
    if process.wait() != 0:
        raise MeasurementError(f"the client ended with status {process.returncode}")


class LineReader:
    """Lines that a helper prints, each with a limit of time. Does not own the process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._fd = process.stdout.fileno()
        self._held = b""

    def words(self, timeout_s: float = WORK_TIMEOUT_S) -> list[str]:
        """The next line, split at blanks. Raises MeasurementError at the end or after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while b"\n" not in self._held:
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0 or not poll.poll(left_ms):
                raise MeasurementError(f"not all bytes came out within {timeout_s:g} s")
            piece = os.read(self._fd, 4096)
            if not piece:
                raise MeasurementError("the program ended early")
            self._held += piece
        line, _, self._held = self._held.partition(b"\n")
        return line.decode().split()


@dataclass(frozen=True, slots=True)
class Outlet:
    """A pipe that a program empties: `pipe` is the writing end, `printed` what the program says."""

    pipe: io.FileIO
    printed: LineReader

    def wait_reached(self, timeout_s: float = WORK_TIMEOUT_S) -> float:
        """The time (time.monotonic) at which as many bytes had come out as the program was told to expect."""
        return wait_reached(self.printed, timeout_s)


def wait_reached(printed: LineReader, timeout_s: float = WORK_TIMEOUT_S) -> float:
    """The time that the line "reached NANOSECONDS" tells, on the clock of time.monotonic."""
    word, number = printed.words(timeout_s)[:2]
    if word != "reached":
        raise MeasurementError(f"only {number} bytes came out")
    return int(number) / 1e9


@contextlib.contextmanager
def outlet(argv: Sequence[str]) -> Iterator[Outlet]:
    """Starts the program. The pipe may be closed in the block, for the program to see its end."""
    read_end, write_end = os.pipe()
    with (
        io.FileIO(write_end, "w") as pipe,
        io.FileIO(read_end) as source,
        running(argv, stdin=read_end) as process,
    ):
        source.close()  # or a server whose reader has gone would never be told
        yield Outlet(pipe, LineReader(process))


def run_load(argv: Sequence[str], timeout_s: float = WORK_TIMEOUT_S) -> tuple[float, float]:
    """Runs c/load.c: when its clients were released, and when the last one was done (time.monotonic)."""
    with running(argv) as process:
        wait_exit(process, timeout_s)
        start, end = LineReader(process).words()
    return int(start) / 1e9, int(end) / 1e9
