"""A message that is more than was asked for is refused, and stays whole: it is looked at before it is taken.

What a look has seen, another process may take; so what was taken is judged again. It is then kept by its channel,
with its descriptors, until somebody asks for as much. MSG_PEEK opens descriptors for whoever looks; those are closed
here, the message keeps its own.
"""

from __future__ import annotations

import os
from socket import MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, SocketType
from typing import NoReturn

from ..model.errors import TruncatedError
from .ancillary import space_for, take_descriptors

_LOOK_FLAGS = int(MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_PEEK | MSG_TRUNC)
_CONTROL_CUT = int(MSG_CTRUNC)

TIMESTAMP_SPACE = 64
"""Room for the control message of one timestamp, twice over."""


def look(sock: SocketType, max_bytes: int | None, max_fds: int) -> None:
    """Is the next message, which stays, no more than is asked for? Nothing that the look opens stays open.

    Raises:
        TruncatedError: it is longer than `max_bytes`; or, if that is not 0, has more than `max_fds` descriptors, or
            they cannot all be opened.
        BlockingIOError: there is none yet. OSError: as recvmsg(2).
    """
    if not max_fds:
        if max_bytes is not None:
            must_fit(sock.recv_into(bytearray(1), 1, _LOOK_FLAGS), max_bytes)
        return
    size, control, flags, _ = sock.recvmsg_into(
        (bytearray(1),), TIMESTAMP_SPACE + space_for(max_fds), _LOOK_FLAGS
    )
    found = take_descriptors(control)
    for fd in found:
        os.close(fd)
    must_be_whole(len(found), max_fds, bool(flags & _CONTROL_CUT))
    must_fit(size, max_bytes)


def must_be_whole(found: int, max_fds: int, is_cut: bool = False) -> None:
    """Are the `found` descriptors of a message that stays all that it has, and at most `max_fds`?

    Raises:
        TruncatedError: no.
    """
    if not is_cut and found <= max_fds:
        return
    remedy = (
        "close some descriptors and receive again"
        if found < max_fds
        else "ask for more, or receive it without any"
    )
    raise TruncatedError(why_cut(found, max_fds), hint=f"what they came with stays: {remedy}")


def refuse_cut(opened: list[int], max_fds: int) -> NoReturn:
    """The descriptors of a message that was taken could not all be opened; those that were are closed.

    Raises:
        TruncatedError: always.
    """
    for fd in opened:
        os.close(fd)
    raise TruncatedError(
        why_cut(len(opened), max_fds),
        hint="close some the next time: these are gone, what they came with can still be received",
    )


def why_cut(opened: int, max_fds: int) -> str:
    """Why MSG_CTRUNC was set when so many descriptors were opened: our own table was full, or there were more."""
    if opened < max_fds:
        return "not all of the descriptors that arrived could be opened (MSG_CTRUNC, EMFILE)"
    return f"more descriptors arrived than were asked for ({max_fds}, MSG_CTRUNC)"


def must_fit(size: int, max_bytes: int | None) -> None:
    """Has the next message no more than `max_bytes`?

    Raises:
        TruncatedError: it has.
    """
    if max_bytes is not None and size > max_bytes:
        raise TruncatedError(
            f"the next message is {size} bytes long, and at most {max_bytes} were asked for",
            hint="it stays whole: ask for more, or leave max_bytes out",
        )
