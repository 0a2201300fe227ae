"""Many clients at once: lines, small writes, short connections, echoes, and clients that only stay connected.

The clients are c/load.c. Figures are bytes, connections or round trips a second, or the server's CPU for
each; the verification pass counts lines that came out wrong and is not timed.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
import time
from collections.abc import Callable, Iterator

from bench import measure, processes
from bench.bulk import Sample
from bench.contenders import Contender
from bench.measure import MeasurementError
from bench.processes import LineReader, Outlet, Server
from bench.workplace import Workplace

LINE_BYTES = 100
MESSAGE_BYTES = 64
_LINES_FULL_BYTES = 512 << 20
_VERIFIED_LINES = 320_000
_MESSAGES_EACH = 200_000
_SHORT_EACH = 3_000
_ECHO_ROUNDS_EACH = 5_000
_IDLE_CLIENTS = 10_000
_WATCHED_S = 2.0
_LOST_TIMEOUT_S = 10.0
_CROWD_STEADY_S = 0.3
_SPARE_DESCRIPTORS = 200
_MESSAGE_CLIENTS, _SHORT_CLIENTS, _ECHO_CLIENTS = 8, 16, 64


@contextlib.contextmanager
def _serving(work: Workplace, contender: Contender, reader: str) -> Iterator[tuple[Server, Outlet]]:
    """The contender's server, ready, its STDOUT a pipe that `reader` empties."""
    sock = work.new_socket()
    with processes.outlet(work.argv(reader, sock)) as out, _server(work, contender, sock, out) as server:
        yield server, out


@contextlib.contextmanager
def _server(work: Workplace, contender: Contender, sock: str, out: Outlet) -> Iterator[Server]:
    argv = work.argv(contender.server, sock)
    with processes.running_server(
        argv, sock, out.pipe.fileno(), stderr_is_stdout=contender.stderr_is_stdout
    ) as server:
        server.wait_ready()
        yield server


def _load(work: Workplace, server: Server, words: str) -> tuple[float, float]:
    return processes.run_load(work.argv(f"{{c}}/load {{sock}} {words}", server.socket))


def lines(clients: int, how: str) -> Callable[[Workplace, Contender], Sample]:
    """`clients` send 512 MiB of 100-byte lines together, by write or by sendfile."""

    def run(work: Workplace, contender: Contender) -> Sample:
        each = work.amount(_LINES_FULL_BYTES * contender.share / clients, unit=LINE_BYTES)
        with _serving(work, contender, f"{{c}}/drain {each * clients}") as (server, out):
            cpu_before = server.settled_cpu_s()
            started, _ = _load(work, server, f"lines {clients} {each} {how}")
            finished = out.wait_reached()
            cpu = server.settled_cpu_s() - cpu_before
        size = each * clients
        return {"gb_per_s": size / (finished - started) / 1e9, "cpu_s_per_gb": cpu / size * 1e9}

    return run


def verify_lines(clients: int) -> Callable[[Workplace, Contender], Sample]:
    """Tagged lines in pieces of odd sizes: how many came out torn, not at all, or too late."""

    def run(work: Workplace, contender: Contender) -> Sample:
        each = work.amount(_VERIFIED_LINES / clients)
        sock = work.new_socket()
        with processes.outlet(work.argv(f"{{c}}/check_lines {clients} {each}", sock)) as out:
            with _server(work, contender, sock, out) as server:
                _load(work, server, f"tagged {clients} {each}")
                with contextlib.suppress(
                    MeasurementError
                ):  # bytes were lost: the verdict says how many lines
                    out.wait_reached(_LOST_TIMEOUT_S)
            out.pipe.close()
            return _verdict(out)

    return run


def _verdict(out: Outlet) -> Sample:
    words = out.printed.words()
    while words[0] != "verdict":
        words = out.printed.words()
    torn, missing, disordered = words[1:]
    return {"torn": float(torn), "missing": float(missing), "disordered": float(disordered)}


def messages(work: Workplace, contender: Contender) -> Sample:
    """8 clients, 200,000 separate writes of 64 bytes each: the server's CPU for a million of them."""
    each = work.amount(_MESSAGES_EACH * contender.share)
    count = each * _MESSAGE_CLIENTS
    with _serving(work, contender, f"{{c}}/drain {count * MESSAGE_BYTES}") as (server, out):
        cpu_before = server.settled_cpu_s()
        started, _ = _load(work, server, f"messages {_MESSAGE_CLIENTS} {each}")
        finished = out.wait_reached()
        cpu = server.settled_cpu_s() - cpu_before
    return {"cpu_us": cpu / count * 1e6, "per_s": count / (finished - started)}


def short_connections(work: Workplace, contender: Contender) -> Sample:
    """Connect, 64 bytes, end, wait for the close; 16 at a time, beside `contender.idle` silent clients."""
    each = work.amount(_SHORT_EACH * contender.share)
    count = each * _SHORT_CLIENTS
    with (
        _serving(work, contender, f"{{c}}/drain {count * MESSAGE_BYTES}") as (server, out),
        _idle_clients(work, server, contender.idle),
    ):
        cpu_before = server.settled_cpu_s()
        started, finished = _load(work, server, f"short {_SHORT_CLIENTS} {each}")
        out.wait_reached()
        cpu = server.settled_cpu_s() - cpu_before
    return {"cpu_us": cpu / count * 1e6, "per_s": count / (finished - started)}


def echo(work: Workplace, contender: Contender) -> Sample:
    """64 clients send 64 bytes and wait for them, again and again: round trips a second."""
    each = work.amount(_ECHO_ROUNDS_EACH * contender.share)
    count = each * _ECHO_CLIENTS
    with _serving(work, contender, "{c}/drain 0") as (server, _):
        cpu_before = server.settled_cpu_s()
        started, finished = _load(work, server, f"echo {_ECHO_CLIENTS} {each}")
        cpu = server.settled_cpu_s() - cpu_before
    return {"per_s": count / (finished - started), "cpu_us": cpu / count * 1e6}


def idle(work: Workplace, contender: Contender) -> Sample:
    """10,000 clients that are silent: the server's processes and memory, and its CPU while it is watched."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _SPARE_DESCRIPTORS
    clients = min(round(_IDLE_CLIENTS * contender.share), allowed)
    with _serving(work, contender, "{c}/drain 0") as (server, _), _idle_clients(work, server, clients):
        cpu_before = server.settled_cpu_s()
        pids = measure.members(server.session)
        memory = measure.pss_mib(pids)
        time.sleep(_WATCHED_S)
        cpu = measure.cpu_s(server.session) - cpu_before
        if measure.connection_count(server.socket) < clients:
            raise MeasurementError("it did not keep all clients")
    return {
        "clients": clients,
        "mib": memory,
        "kib_each": memory * 1024 / clients,
        "processes": len(pids),
        "cpu_s": cpu,
    }


@contextlib.contextmanager
def _idle_clients(work: Workplace, server: Server, clients: int) -> Iterator[None]:
    """So many clients, connected and silent until the block is left."""
    if clients == 0:
        yield
        return
    with processes.running(
        work.argv(f"{{c}}/load {{sock}} idle {clients}", server.socket), stdin=subprocess.PIPE
    ) as process:
        LineReader(process).words()
        server.settled_cpu_s(_CROWD_STEADY_S)
        yield
