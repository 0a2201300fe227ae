"""Which processes there are, and how each stands: /proc, looked at without any right on them. See proc(5)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

_ENDED = b"ZX"
"""Zombie and dead: what is left of a process that has given up its descriptors."""

_STOPPED = b"Tt"
"""By a signal, by a tracer."""


_HIDES = re.compile(rb"hidepid=(?!0|off)")


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


def alive(pids: Iterable[int]) -> list[int]:
    """Those that run. To look into one that is about to end is refused (EACCES) as if it were another user's."""
    states = ((pid, state_of(pid)) for pid in pids)
    return [pid for pid, state in states if state and not _is_one_of(state, _ENDED)]


def are_hidden() -> bool:
    """Does /proc hide other users' processes (its mount option hidepid)?"""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            rows = file.read().splitlines()
    except OSError:
        return False
    return any(b" - proc " in row and _HIDES.search(row) for row in rows)


def _is_one_of(state: bytes, letters: bytes) -> bool:
    return bool(state) and state in letters
