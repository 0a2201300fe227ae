"""Control messages beside the bytes (cmsg(3)). A descriptor that arrives is open from then on, wanted or not.

Where the kernel can refuse them (`peercred.refuse_descriptors`, Linux 6.16) none arrive; everywhere else whoever
makes room for control data has to look.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from socket import SCM_RIGHTS, SOL_SOCKET

_INT_BYTES = 4
"""sizeof(int), which is what a descriptor is in SCM_RIGHTS."""

Ancillary = Iterable[tuple[int, int, bytes]]
"""What `recvmsg` returns second: level, type and data of each control message."""


def descriptors_in(ancillary: Ancillary) -> list[int]:
    """The descriptors that came; the caller owns them. A last one that was cut is none."""
    found: list[int] = []
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            found += memoryview(data[: len(data) - len(data) % _INT_BYTES]).cast("i")
    return found


def close_descriptors(ancillary: Ancillary) -> int:
    """Close those that came and that nobody asked for; how many there were."""
    unwanted = descriptors_in(ancillary)
    for fd in unwanted:
        os.close(fd)
    return len(unwanted)
