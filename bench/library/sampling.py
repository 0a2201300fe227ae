"""One sample of one contender under one Python: a server's CPU or memory, a pass of a descriptor, an import.

A server is started anew for each sample and waited for by connecting. The clients are C (c/busy.c, c/load.c),
so that what is measured is the server alone.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
from collections.abc import Callable, Iterator

from bench import measure, processes
from bench.bulk import Sample
from bench.library.contenders import Contender
from bench.library.pythons import Python
from bench.measure import MeasurementError
from bench.processes import LineReader, Server
from bench.workplace import Workplace

HERE = os.path.dirname(os.path.abspath(__file__))
WINDOW_S = 1.2
CROWD = 10_000
PASSES = 20_000
_IMPORTS = 15
_TIMEOUT_S = 60.0
_CROWD_STEADY_S = 0.3

Measure = Callable[[Workplace, Contender, Python], Sample]


@contextlib.contextmanager
def _serving(work: Workplace, contender: Contender, python: Python, mode: str) -> Iterator[Server]:
    sock = work.new_socket()
    argv = [python.executable, f"{HERE}/{contender.program}", sock, mode, contender.loop]
    with (
        open(os.devnull, "wb") as null,
        processes.running_server(argv, sock, null.fileno()) as server,
    ):
        server.wait_ready()
        yield server


def _busy(mode: str, clients: int, size: int) -> Measure:
    def run(work: Workplace, contender: Contender, python: Python) -> Sample:
        window_ms = int(window_s(work.scale) * 1000)
        with _serving(work, contender, python, "take" if mode == "short" else "echo") as server:
            words = f"{{c}}/busy {{sock}} {mode} {clients} {size} {server.process.pid} {window_ms}"
            with processes.running(work.argv(words, server.socket)) as load:
                processes.wait_exit(load, _TIMEOUT_S)
                count, cpu_ns, wall_ns = map(int, LineReader(load).words())
        if not count:
            raise MeasurementError("nothing was done in the time given")
        return {"cpu_us": cpu_ns / count / 1e3, "per_s": count / wall_ns * 1e9}

    return run


def echo(clients: int, size: int) -> Measure:
    """Server CPU for `size` bytes there and back, on connections that stay open."""
    return _busy("echo", clients, size)


def short(clients: int, size: int) -> Measure:
    """Server CPU for a connection: accept, read `size` bytes, close; the client waits for that end."""
    return _busy("short", clients, size)


def memory(work: Workplace, contender: Contender, python: Python) -> Sample:
    """What a server's memory (PSS) grows by for a connected stream whose handler waits for bytes."""
    count = max(100, int(CROWD * contender.share * work.scale))
    with _serving(work, contender, python, "echo") as server:
        before = measure.pss_mib([server.process.pid])
        with processes.running(
            work.argv(f"{{c}}/load {{sock}} idle {count}", server.socket), stdin=subprocess.PIPE
        ) as crowd:
            LineReader(crowd).words(_TIMEOUT_S)
            server.settled_cpu_s(_CROWD_STEADY_S)
            there = measure.connection_count(server.socket)
            after = measure.pss_mib([server.process.pid])
    if there != count:
        raise MeasurementError(f"only {there} of {count} connections are there")
    return {"kib_each": (after - before) * 1024 / count, "streams": count}


def passing(work: Workplace, contender: Contender, python: Python) -> Sample:
    """CPU of both ends for one descriptor sent, received and closed."""
    count = work.amount(PASSES)
    printed = _printed([python.executable, f"{HERE}/{contender.program}", str(count), contender.loop])
    return {"cpu_us": float(printed) / count * 1e6}


def window_s(scale: float) -> float:
    """How long a server is watched in a run of that scale."""
    return WINDOW_S * scale


def imports_each(scale: float) -> int:
    """How many interpreters a sample of `import` takes."""
    return max(3, round(_IMPORTS * scale))


_IMPORT = """
import sys, time
before, started = set(sys.modules), time.perf_counter()
{statement}
print(time.perf_counter() - started, *sorted(set(sys.modules) - before))
"""


def importing(work: Workplace, contender: Contender, python: Python) -> Sample:
    """`import` in a new interpreter, the best and the median of several, and how many modules came with it."""
    runs = [_import(contender, python) for _ in range(imports_each(work.scale))]
    seconds = [float(words[0]) for words in runs]
    return {
        "ms": min(seconds) * 1e3,
        "median_ms": statistics.median(seconds) * 1e3,
        "modules": len(runs[0]) - 1,
    }


def imported_modules(contender: Contender, python: Python) -> list[str]:
    """The names of what `import` loads beyond what a bare interpreter has."""
    return _import(contender, python)[1:]


def _import(contender: Contender, python: Python) -> list[str]:
    return _printed([python.executable, "-c", _IMPORT.format(statement=contender.program)]).split()


def _printed(argv: list[str]) -> str:
    try:
        run = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"not done within {_TIMEOUT_S:g} s") from None
    if run.returncode:
        raise MeasurementError((run.stderr.strip().splitlines() or ["it failed and said nothing"])[-1])
    return run.stdout
