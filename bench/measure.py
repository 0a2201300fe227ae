"""Reading the clock, the CPU, the memory and the connections of processes that the benchmark started.

All processes of a server share its session, so that forked children are counted with it: CPU is what live
ones have used plus what they inherited from children that they reaped (fields utime, stime, cutime, cstime of
proc_pid_stat(5)). Its unit is a clock tick, 10 ms: measure work that takes many. Nothing here starts or ends
a process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

POLL_PAUSE_S = 0.0003
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LISTENING = "00010000"


class MeasurementError(Exception):
    """A contender did not do its work (or not in time); its row says why."""


def wait_until(
    condition: Callable[[], bool], what: str, timeout_s: float, pause_s: float = POLL_PAUSE_S
) -> float:
    """The time (`time.monotonic`) at which `condition` held. Raises MeasurementError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        held, now = condition(), time.monotonic()
        if held:
            return now
        if now > deadline:
            raise MeasurementError(f"{what}: not within {timeout_s:g} s")
        time.sleep(pause_s)


def _stat_fields(pid: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2].split()
    except OSError:
        return None  # ended meanwhile


def _session_stats(session: int) -> Iterator[tuple[int, list[bytes]]]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            fields = _stat_fields(int(name))
            if fields is not None and int(fields[3]) == session:
                yield int(name), fields


def members(session: int) -> list[int]:
    """The process ids of a session that are not zombies."""
    return [pid for pid, fields in _session_stats(session) if fields[0] not in b"ZX"]


def cpu_s(session: int) -> float:
    """CPU seconds, user and system, of a session's processes and of the children they have reaped."""
    ticks = sum(int(ticks) for _, fields in _session_stats(session) for ticks in fields[11:15])
    return ticks / _TICKS_PER_S


def pss_mib(pids: list[int]) -> float:
    """Proportional set size of these processes together, in MiB; a shared page is counted once."""
    kib = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
            kib += next(int(line.split()[1]) for line in rollup if line.startswith(b"Pss:"))
    return kib / 1024


def connection_count(path: str) -> int:
    """How many connections to the listener at `path` exist, accepted or still waiting (/proc/net/unix)."""
    count = 0
    with open("/proc/net/unix", "rb", buffering=0) as table:
        wanted = b" " + os.fsencode(path) + b"\n"
        for line in table.readall().splitlines(keepends=True):
            if line.endswith(wanted) and line.split()[3].decode() != _LISTENING:
                count += 1
    return count
