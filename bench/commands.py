"""A command for each client: how many a second, and the CPU for each, the command's own included.

The command ends at once (c/nothing.c), so that what is measured is what it takes to start it, and to wait for it. The
limits have no clients at all: their processes are started by a loop in C.
"""

from __future__ import annotations

import os
import resource

from bench import processes
from bench.bulk import Sample
from bench.contenders import Contender
from bench.workplace import Workplace

_CLIENTS = 8
_EACH = 400


def visits(work: Workplace, contender: Contender) -> Sample:
    """8 clients at a time: connect, wait for the server's close, again."""
    each = work.amount(_EACH * contender.share)
    if not contender.server:
        return _without_clients(work, contender, each * _CLIENTS)
    sock = work.new_socket()
    with (
        open(os.devnull, "wb") as null,
        processes.running_server(work.argv(contender.server, sock), sock, null.fileno()) as server,
    ):
        server.wait_ready()
        cpu_before = server.settled_cpu_s()
        load = work.argv(f"{{c}}/load {{sock}} visits {_CLIENTS} {each}", sock)
        started, finished = processes.run_load(load)
        cpu = server.settled_cpu_s() - cpu_before
    return _sample(each * _CLIENTS, finished - started, cpu)


def _without_clients(work: Workplace, contender: Contender, count: int) -> Sample:
    before = _cpu_of_children_s()
    started, finished = processes.run_load([*work.argv(contender.client, ""), str(count)])
    return _sample(count, finished - started, _cpu_of_children_s() - before)


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _sample(count: int, wall_s: float, cpu_s: float) -> Sample:
    return {"per_s": count / wall_s, "cpu_us": cpu_s / count * 1e6}
