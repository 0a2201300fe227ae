"""What an open descriptor is, in a word or by its path, as /proc/self/fd has it (proc_pid_fd(5)). For display only."""

from __future__ import annotations

import os

_DELETED = " (deleted)"


def describe(fd: int) -> str:
    """`/var/log/x`, `socket`, `pipe`, `eventfd`, `memfd:name`; "unknown" where the kernel does not say.

    Bytes of a path that are not UTF-8 are surrogates. Escape it before it is shown.
    """
    try:
        target = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return "unknown"
    if target.startswith("/memfd:"):
        return target.removeprefix("/").removesuffix(_DELETED)
    if target.startswith("/"):
        return target
    kind, _, rest = target.partition(":")
    return rest.strip("[]") if kind == "anon_inode" else kind
