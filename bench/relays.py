"""Between two ends that are C programs: bytes a second, round trips a second, and pairs that only stay connected.

The server is at {sock}.up, the relay at {sock}; CPU and memory are the relay's alone. Bulk counts until the last byte
has reached the reader behind the relay, whatever the writer believes by then. "No relay" is a symbolic link.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator

from bench import measure, processes
from bench.bulk import FULL_BYTES, Sample
from bench.contenders import Contender
from bench.measure import MeasurementError
from bench.processes import LineReader, Server
from bench.workplace import Workplace

_CHUNK = 1 << 20
_ROUNDS = 160_000
_PAIRS = 1_000
_WATCHED_S = 2.0
_CROWD_STEADY_S = 0.3


class Relay:
    """What stands between, and what it has used. Nothing, where clients reach the server directly."""

    def __init__(self, path: str, server: Server | None) -> None:
        self.path = path
        self._server = server

    def cpu_s(self) -> float:
        return self._server.settled_cpu_s() if self._server is not None else 0.0

    def session(self) -> int:
        if self._server is None:
            raise MeasurementError("there is no relay")
        return self._server.session

    def settle(self) -> None:
        if self._server is not None:
            self._server.settled_cpu_s(_CROWD_STEADY_S)


@contextlib.contextmanager
def relaying(work: Workplace, contender: Contender, sock: str) -> Iterator[Relay]:
    """The contender between `sock` and the server that is there already at `sock`.up."""
    if not contender.server:
        os.symlink(f"{sock}.up", sock)
        yield Relay(sock, None)
        return
    with (
        open(os.devnull, "wb") as null,
        processes.running_server(work.argv(contender.server, sock), sock, null.fileno()) as server,
    ):
        server.wait_ready()
        yield Relay(sock, server)


def _pass_through(work: Workplace, relay: Relay, size: int, taken: LineReader) -> float:
    """How long `size` bytes take from the writer's connection until the reader has them all."""
    client = work.argv(f"{{c}}/write_client {{sock}} 262144 {size}", relay.path)
    with processes.running(client) as writer:
        started = int(LineReader(writer).words()[1]) / 1e9
        processes.wait_exit(writer)
    return processes.wait_reached(taken) - started


def bulk(work: Workplace, contender: Contender) -> Sample:
    """2 GiB, written in pieces of 256 KiB, taken by splice."""
    size, sock = work.amount(FULL_BYTES * contender.share, unit=_CHUNK), work.new_socket()
    with processes.running(work.argv(f"{{c}}/take {{sock}}.up {size}", sock)) as reader:
        taken = LineReader(reader)
        taken.words()
        with relaying(work, contender, sock) as relay:
            cpu_before = relay.cpu_s()
            seconds = _pass_through(work, relay, size, taken)
            cpu = relay.cpu_s() - cpu_before
    return {"gb_per_s": size / seconds / 1e9, "cpu_s_per_gb": cpu / size * 1e9}


@contextlib.contextmanager
def serving(work: Workplace, sock: str, template: str) -> Iterator[Server]:
    """A server at `sock`.up, that can be connected to."""
    with (
        open(os.devnull, "wb") as null,
        processes.running_server(work.argv(template, sock), f"{sock}.up", null.fileno()) as server,
    ):
        server.wait_ready()
        yield server


def echo(clients: int) -> Callable[[Workplace, Contender], Sample]:
    """`clients` send 64 bytes through the relay to a C server that echoes, and wait for them, again and again."""

    def run(work: Workplace, contender: Contender) -> Sample:
        sock, each = work.new_socket(), work.amount(_ROUNDS * contender.share / clients)
        with (
            serving(work, sock, "{c}/epoll_server {sock}.up echo"),
            relaying(work, contender, sock) as relay,
        ):
            cpu_before = relay.cpu_s()
            load = work.argv(f"{{c}}/load {{sock}} echo {clients} {each}", sock)
            started, finished = processes.run_load(load)
            cpu = relay.cpu_s() - cpu_before
        count = each * clients
        return {"per_s": count / (finished - started), "cpu_us": cpu / count * 1e6}

    return run


def idle(work: Workplace, contender: Contender) -> Sample:
    """1,000 clients that are silent: the relay's processes and memory, and its CPU while it is watched."""
    sock, pairs = work.new_socket(), round(_PAIRS * contender.share)
    with (
        serving(work, sock, "{c}/epoll_server {sock}.up collect"),
        relaying(work, contender, sock) as relay,
        processes.running(
            work.argv(f"{{c}}/load {{sock}} idle {pairs}", sock), stdin=subprocess.PIPE
        ) as crowd,
    ):
        LineReader(crowd).words()
        measure.wait_until(
            lambda: measure.connection_count(f"{sock}.up") >= pairs, "all pairs", processes.READY_TIMEOUT_S
        )
        relay.settle()
        cpu_before = measure.cpu_s(relay.session())
        pids = measure.members(relay.session())
        memory = measure.pss_mib(pids)
        time.sleep(_WATCHED_S)
        cpu = measure.cpu_s(relay.session()) - cpu_before
        if measure.connection_count(sock) < pairs:
            raise MeasurementError("it did not keep all pairs")
    return {
        "pairs": pairs,
        "mib": memory,
        "kib_each": memory * 1024 / pairs,
        "processes": len(pids),
        "cpu_s": cpu,
    }
