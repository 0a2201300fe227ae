"""Which processes there are, and how each stands: /proc, looked at without any right on them. See proc(5)."""

from __future__ import annotations

import os
from collections.abc import Iterable

_ENDED = b"ZX"
"""Zombie and dead: what is left of a process that has given up its descriptors."""

_STOPPED = b"Tt"
"""By a signal, by a tracer."""


def all_pids() -> list[int]:
    """The processes of this PID namespace that /proc shows (hidepid can hide others'), in order."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def state_of(pid: int) -> bytes:
    """The letter in /proc/PID/stat, empty if the process is gone. The name before it may hold a parenthesis."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return b""


def is_stopped(pid: int) -> bool:
    return _is_one_of(state_of(pid), _STOPPED)


def count_alive(pids: Iterable[int]) -> int:
    """How many of them run. To look into one that is about to end is refused (EACCES) as if it were another user's."""
    states = (state_of(pid) for pid in pids)
    return sum(bool(state) and not _is_one_of(state, _ENDED) for state in states)


def _is_one_of(state: bytes, letters: bytes) -> bool:
    return bool(state) and state in letters
