"""How long whole processes take: a client that says one line, and a server until it can be connected to.

A sample is the median of several processes, started one after another.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable

from bench import measure, processes
from bench.bulk import Sample
from bench.contenders import Contender
from bench.workplace import Workplace

_PROCESSES = 7
_TIMEOUT_S = 10.0


def _median_ms(work: Workplace, once: Callable[[], float]) -> Sample:
    return {"ms": statistics.median(once() for _ in range(work.amount(_PROCESSES))) * 1e3}


def one_line(work: Workplace, contender: Contender) -> Sample:
    """`echo hi | CLIENT`, from its start to its end, with a C server at the other side."""
    sock = work.new_socket()
    with (
        open(os.devnull, "wb") as null,
        processes.running_server(
            work.argv("{c}/epoll_server {sock} collect", sock), sock, null.fileno()
        ) as server,
    ):
        server.wait_ready()
        return _median_ms(work, lambda: _client_s(work.argv(contender.client, sock)))


def _client_s(argv: list[str]) -> float:
    read_end, write_end = os.pipe()
    os.write(write_end, b"hi\n")
    os.close(write_end)
    try:
        started = time.monotonic()
        with processes.running(argv, stdin=read_end, stdout=subprocess.DEVNULL) as process:
            processes.wait_exit(process, _TIMEOUT_S)
            return time.monotonic() - started
    finally:
        os.close(read_end)


def connectable(work: Workplace, contender: Contender) -> Sample:
    """From a server's start to the first connect that succeeds; without a server, the client's whole run."""
    if not contender.server:
        return _median_ms(work, lambda: _client_s(work.argv(contender.client, "")))
    return _median_ms(work, lambda: _server_s(work, contender))


def _server_s(work: Workplace, contender: Contender) -> float:
    sock = work.new_socket()
    with (
        open(os.devnull, "wb") as null,
        processes.running_server(work.argv(contender.server, sock), sock, null.fileno()) as server,
    ):
        now = measure.wait_until(server.is_connectable, "a connectable server", processes.READY_TIMEOUT_S)
        return now - server.started
