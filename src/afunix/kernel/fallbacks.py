"""One switch for testing on a new kernel what an old one would do: AFUNIX_FORCE_FALLBACK=passrights,…

Each facility that is newer than the oldest kernel we promise (Linux 5.10), or that may be refused, has a name here, and
the file that uses it asks `is_forced(name)` before it asks the kernel. `all` forces every one.

    passrights    SO_PASSRIGHTS, Linux 6.16                         peercred.refuse_descriptors
    peerpidfd     SO_PEERPIDFD, Linux 6.5                           peercred.open_peer_pidfd
    getfd         pidfd_getfd(2) (refused by some sandboxes)        child_input
    nowait        RWF_NOWAIT on a pipe, Linux 5.15 or so            output
    reopen        opening /proc/self/fd/N again (may be refused)    output, input
    sock_diag     sock_diag(7) (refused by some sandboxes)          socket_table
    splice        splice(2) and sendfile(2) (refused by some files) output, movers

The variable is read once, at the first question, so that a process does not change its mind half way.
"""

from __future__ import annotations

import functools
import os

VARIABLE = "AFUNIX_FORCE_FALLBACK"


def is_forced(name: str) -> bool:
    """Must the facility `name` be treated as if this kernel had not got it?"""
    forced = _forced()
    return name in forced or "all" in forced


@functools.cache
def _forced() -> frozenset[str]:
    return frozenset(word.strip() for word in os.environ.get(VARIABLE, "").split(","))
