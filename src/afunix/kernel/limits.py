"""How many descriptors this process may have: getrlimit(2), and what is open already."""

from __future__ import annotations

import os
import resource

from ..model.errors import AfunixError

RESERVED = 16
"""Kept for what a server opens besides clients: a pipe, a lock, a look at /proc."""


def require_descriptors(count: int) -> None:
    """See to it that a process may have `count` descriptors open, by raising the soft limit as far as that takes.

    Raises:
        AfunixError: the hard limit of RLIMIT_NOFILE is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    except (OSError, ValueError):
        raise AfunixError(
            f"{hard} descriptors may be open in a process (RLIMIT_NOFILE), and {count} are needed (EMFILE)",
            hint=f"allow more with 'ulimit -n {max(1024, count)}', or whoever started this shell has to",
        ) from None


def descriptor_limit() -> int:
    """The soft limit, as it is now."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


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
