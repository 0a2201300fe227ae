"""Control messages beside the bytes (cmsg(3)). A descriptor that arrives is open from then on, wanted or not.

Where the kernel can refuse them (`peercred.refuse_descriptors`, Linux 6.16) none arrive; everywhere else whoever
makes room for control data has to look.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET

MAX_FDS = 253
"""SCM_MAX_FD: as many as one message carries; one more is EINVAL (unix(7))."""

SCM_PIDFD = 4
"""A descriptor for the sender's process, only where the receiver has set SO_PASSPIDFD (Linux 6.5)."""

_UCRED_BYTES = 12
"""sizeof(struct ucred), what SCM_CREDENTIALS carries."""

_INT_BYTES = 4
"""sizeof(int), which is what a descriptor is in SCM_RIGHTS and SCM_PIDFD."""

_LABEL_BYTES = 4096
"""As long as a label can be that a process sets for itself (a page): what SCM_SECURITY carries."""

SENDER_SPACE = CMSG_SPACE(_UCRED_BYTES) + CMSG_SPACE(_INT_BYTES)
"""A control buffer for what SO_PASSCRED and SO_PASSPIDFD add (cmsg(3), Linux 6.5)."""

Ancillary = Iterable[tuple[int, int, bytes]]
"""What `recvmsg` returns second: level, type and data of each control message."""


def descriptors_in(ancillary: Ancillary) -> list[int]:
    """The descriptors that came; the caller owns them. A last one that was cut is none."""
    found: list[int] = []
    for level, kind, data in ancillary:
        if kind == SCM_RIGHTS and level == SOL_SOCKET:
            found += _numbers_in(data)
    return found


def take_descriptors(ancillary: Ancillary) -> list[int]:
    """Like `descriptors_in`, and what else the kernel has opened (a pidfd by SO_PASSPIDFD) is closed."""
    found: list[int] = []
    for level, kind, data in ancillary:
        if level != SOL_SOCKET:
            continue
        if kind == SCM_RIGHTS:
            found += _numbers_in(data)
        elif kind == SCM_PIDFD:
            for fd in _numbers_in(data):
                if fd >= 0:  # else an errno: that process was reaped
                    os.close(fd)
    return found


def _numbers_in(data: bytes) -> memoryview:
    return memoryview(data[: len(data) - len(data) % _INT_BYTES]).cast("i")


def close_descriptors(ancillary: Ancillary) -> int:
    """Close those that came and that nobody asked for; how many there were."""
    unwanted = take_descriptors(ancillary)
    for fd in unwanted:
        os.close(fd)
    return len(unwanted)


def space_for(max_fds: int) -> int:
    """A control buffer for `max_fds` descriptors beside all that a socket which was handed to us may ask for:
    SO_PASSCRED, SO_PASSPIDFD, SO_PASSSEC.

    What is kept for those holds more descriptors if they do not come: whoever asks looks at the number, too.
    """
    return SENDER_SPACE + CMSG_SPACE(_LABEL_BYTES) + CMSG_SPACE(max_fds * _INT_BYTES)


def pack_descriptors(fds: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """What `sendmsg` takes second, to attach `fds`; nothing for none."""
    return [(SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []


def accept_fds_within(count: int) -> int:
    """`count`, if so many descriptors can come in one message.

    Raises:
        TypeError, ValueError: it is no number, or not from 0 to 253.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"accept_fds is {type(count).__name__}, expected int")
    if not 0 <= count <= MAX_FDS:
        raise ValueError(f"accept_fds is {count}, expected 0 to {MAX_FDS}")
    return count
