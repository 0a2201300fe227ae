"""How long it takes to look: a list of 10,000 sockets with their processes, and why a connect would be refused.

A process holds a listener and 5,000 connections, both ends; the contenders' output goes to /dev/null. A sample is
the median of several whole processes.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator

from bench import processes
from bench.bulk import Sample
from bench.contenders import Contender
from bench.measure import MeasurementError
from bench.workplace import Workplace

_CONNECTIONS = 5_000
_PROCESSES = 5
_TIMEOUT_S = 60.0


def looking(connections: int = _CONNECTIONS) -> Callable[[Workplace, Contender], Sample]:
    """Each process has `connections` to look at, beside whatever else the machine has."""

    def measure(work: Workplace, contender: Contender) -> Sample:
        sock = work.new_socket()
        with _held(work, sock, work.amount(connections)):
            argv = work.argv(contender.client, sock)
            return {"ms": statistics.median(_run_s(argv) for _ in range(work.amount(_PROCESSES))) * 1e3}

    return measure


@contextlib.contextmanager
def _held(work: Workplace, sock: str, connections: int) -> Iterator[None]:
    argv = work.argv(f"{{python}} {{peers}}/holder.py {{sock}} {connections}", sock)
    with processes.running(argv, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            raise MeasurementError("the sockets to look at could not be made")
        yield


def _run_s(argv: list[str]) -> float:
    started = time.monotonic()
    with processes.running(argv, stdout=subprocess.DEVNULL) as process:
        processes.wait_exit(process, _TIMEOUT_S)
    return time.monotonic() - started
