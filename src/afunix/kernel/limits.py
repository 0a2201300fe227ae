"""How many descriptors this process may have: getrlimit(2), and what is open already."""

from __future__ import annotations

import os
import resource

RESERVED = 16
"""Kept for what a server opens besides clients: a pipe, a lock, a look at /proc."""


def raise_descriptor_limit() -> int:
    """Ask for as many as the hard limit allows; how many are left for clients, at least one.

    The soft limit is low (1024) for the sake of select(2), which nothing here uses.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (OSError, ValueError):
        pass  # a hard limit beyond fs.nr_open: keep what there is
    return max(1, soft - len(os.listdir("/proc/self/fd")) - RESERVED)
