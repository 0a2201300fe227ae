"""One client's file to STDOUT on a pipe, on /dev/null or on a file: bytes a second.

Speed counts from the connection to the last byte out. The client's start-up is left out of it (it has a row
of its own) and shown beside it: `wall_s` is from the client's start to the last byte. Every run checks,
where STDOUT can tell, that as many bytes came out as went in.
"""

from __future__ import annotations

import contextlib
import enum
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench import measure, processes
from bench.contenders import Contender
from bench.measure import MeasurementError
from bench.processes import Server
from bench.workplace import Workplace

FULL_BYTES = 2 << 30
_CHUNK = 1 << 20

Sample = dict[str, float]


class Stdout(enum.Enum):
    PIPE = "pipe"
    NULL = "/dev/null"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Destination:
    """A server's STDOUT, and how to know when all bytes have come out of it (time.monotonic)."""

    fd: int
    wait_all: Callable[[Server], float]


def transfer(stdout: Stdout) -> Callable[[Workplace, Contender], Sample]:
    """A contender's own client sends a file to its own server."""

    def run(work: Workplace, contender: Contender) -> Sample:
        return _transfer(work, contender, stdout, contender.client)

    return run


def fed_by_c_writer(work: Workplace, contender: Contender) -> Sample:
    """The server alone: a C program writes the file, STDOUT is a pipe."""
    return _transfer(work, contender, Stdout.PIPE, "{c}/write_client {sock} 262144")


def _transfer(work: Workplace, contender: Contender, stdout: Stdout, client: str) -> Sample:
    size = work.amount(FULL_BYTES * contender.share, unit=_CHUNK)
    sock = work.new_socket()
    server_argv = work.argv(contender.server, sock)
    with (
        _open_destination(work, stdout, size) as destination,
        processes.running_server(
            server_argv, sock, destination.fd, stderr_is_stdout=contender.stderr_is_stdout
        ) as server,
        open(work.input_file(size), "rb") as source,
    ):
        server.wait_ready()
        cpu_before = server.settled_cpu_s()
        started = time.monotonic()
        with processes.running(
            work.argv(client, sock), stdin=source.fileno(), stdout=subprocess.DEVNULL
        ) as process:
            connected = _wait_connected(process, sock)
            processes.wait_exit(process)
        finished = destination.wait_all(server)
        cpu = server.settled_cpu_s() - cpu_before
    return {
        "gb_per_s": size / (finished - connected) / 1e9,
        "wall_s": finished - started,
        "cpu_s_per_gb": cpu / size * 1e9,
    }


def _wait_connected(client: subprocess.Popen[bytes], sock: str) -> float:
    def has_connected() -> bool:
        return measure.connection_count(sock) > 0 or client.poll() is not None

    return measure.wait_until(has_connected, "a connected client", processes.READY_TIMEOUT_S)


@contextlib.contextmanager
def _open_destination(work: Workplace, stdout: Stdout, size: int) -> Iterator[Destination]:
    if stdout is Stdout.PIPE:
        with processes.outlet(work.argv(f"{{c}}/drain {size}", "")) as drain:
            yield Destination(drain.pipe.fileno(), lambda server: drain.wait_reached())
        return
    path = os.devnull if stdout is Stdout.NULL else work.touched_file(work.amount(FULL_BYTES, unit=_CHUNK))
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield Destination(fd, lambda server: _wait_written(server, fd, size if stdout is Stdout.FILE else 0))
    finally:
        os.close(fd)


def _wait_written(server: Server, fd: int, size: int) -> float:
    """The connection is closed, and the file offset, shared with the server, says that all is written."""
    closed = server.wait_connections_gone(processes.WORK_TIMEOUT_S)
    if size == 0 or os.lseek(fd, 0, os.SEEK_CUR) == size:
        return closed
    written = measure.wait_until(
        lambda: os.lseek(fd, 0, os.SEEK_CUR) >= size, "the last byte in the file", 5.0
    )
    if os.lseek(fd, 0, os.SEEK_CUR) != size:
        raise MeasurementError("more bytes came out than went in")
    return written
