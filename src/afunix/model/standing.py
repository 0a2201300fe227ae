"""Two sockets under two names, and how they stand to each other: what each name leads to now, judged.

A tap has a socket of its own, and the server's; the server's path leads to one of them and the second name beside it to
the other. Everybody else may do to the path what he likes, since he takes what he finds there for the server's socket:
so what was done to ours was meant for the server's. Pure: identities in, a standing out.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Identity(NamedTuple):
    """A file: its device and inode. It names one file as long as somebody has that open."""

    device: int
    inode: int


class Standing(Enum):
    """Which socket each of the two names leads to."""

    IN_FRONT = "the path leads to ours, the second name to the server's"
    BESIDE = "the path leads to the server's, the second name to ours"
    BACK = "the path leads to the server's, the second name not to ours"
    REMOVED = "somebody has removed the path while it led to ours"
    REPLACED = "somebody has put another file at the path while it led to ours"
    ALONE = "the path leads to ours, and somebody has removed the second name"


def judge(at_path: Identity | None, at_second: Identity | None, ours: Identity, theirs: Identity) -> Standing:
    """None: the name leads to nothing."""
    if at_path == ours:
        return Standing.IN_FRONT if at_second == theirs else Standing.ALONE
    if at_path == theirs:
        return Standing.BESIDE if at_second == ours else Standing.BACK
    return Standing.REMOVED if at_path is None else Standing.REPLACED
