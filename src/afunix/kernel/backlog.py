"""How many clients may wait to be accepted: what is such a number, and the most that the kernel allows.

For every kind of listener, whatever its family. Whether the queue is full, and how that is waited for, is not known here.
"""

from __future__ import annotations

import socket

from ..model.errors import AddressError
from .numbers import must_be_int

_SOMAXCONN = "/proc/sys/net/core/somaxconn"


def max_backlog() -> int:
    """What the kernel would lower a larger backlog to (net.core.somaxconn, listen(2))."""
    try:
        with open(_SOMAXCONN, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return socket.SOMAXCONN


def check_backlog(backlog: int | None) -> None:
    """Refuse what is no length of a queue; None is the kernel's maximum.

    Raises:
        AddressError: it is negative. TypeError: it is no number.
    """
    if backlog is None:
        return
    must_be_int(backlog, "backlog", "how many clients may wait")
    if backlog < 0:
        raise AddressError(f"a backlog of {backlog} is none: expected 0 or more")
