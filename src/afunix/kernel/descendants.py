"""Processes that ours have left behind: they become our children instead of init's (prctl(2), PR_SET_CHILD_SUBREAPER).

So a stop finds them, whatever group or session they have made for themselves, and can wait for them. What is to become of
them is not decided here.
"""

from __future__ import annotations

import ctypes
import os

from .processes import all_pids

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans(*, adopts: bool = True) -> bool:
    """From now on a process whose parent ends while we are its ancestor is our child, or with `adopts` False init's again.
    False: the kernel refuses. It is not passed on to what we start.
    """
    flag, nothing = ctypes.c_ulong(adopts), ctypes.c_ulong(0)
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, flag, nothing, nothing, nothing) == 0)


def own_children() -> list[int]:
    """The pids of our children, those included that have ended and were not waited for. A look at all of /proc."""
    us = os.getpid()
    return [pid for pid in all_pids() if _parent_of(pid) == us]


def _parent_of(pid: int) -> int:
    """The fourth field of /proc/PID/stat; 0 if it is gone. The name before it may hold a parenthesis."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0
