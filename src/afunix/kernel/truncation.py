"""A message that is more than was asked for: it is looked at first, refused, and stays queued whole.

MSG_PEEK opens descriptors for whoever looks; those are closed here, the message keeps its own.
"""

from __future__ import annotations

import os
from socket import MSG_CTRUNC

from ..model.errors import TruncatedError

_CONTROL_CUT = int(MSG_CTRUNC)


def must_be_whole(fds: list[int], max_fds: int, flags: int) -> None:
    """Were all the descriptors of a message opened, at most `max_fds`, when it was looked at?

    Raises:
        TruncatedError: no; those that were are closed.
    """
    if not flags & _CONTROL_CUT and len(fds) <= max_fds:
        return
    for fd in fds:
        os.close(fd)
    is_full = len(fds) < max_fds
    remedy = (
        "close some descriptors and receive again" if is_full else "ask for more, or receive it without any"
    )
    raise TruncatedError(why_cut(len(fds), max_fds), hint=f"what they came with stays: {remedy}")


def why_cut(opened: int, max_fds: int) -> str:
    """Why MSG_CTRUNC was set when so many descriptors were opened: our own table was full, or there were more."""
    if opened < max_fds:
        return "not all of the descriptors that arrived could be opened (MSG_CTRUNC, EMFILE)"
    return f"more descriptors arrived than were asked for ({max_fds}, MSG_CTRUNC)"


def must_fit(size: int, max_bytes: int | None) -> None:
    """Has the message that was looked at no more than `max_bytes`?

    Raises:
        TruncatedError: it has.
    """
    if max_bytes is not None and size > max_bytes:
        raise TruncatedError(
            f"the next message is {size} bytes long, and at most {max_bytes} were asked for",
            hint="it stays whole: ask for more, or leave max_bytes out",
        )
