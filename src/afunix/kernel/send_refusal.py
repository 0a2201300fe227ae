"""Why the kernel did not take a message with descriptors, in words: whose side it is, and which of them.

sendmsg(2) says one errno for all; which descriptor is meant is found out by sending each to ourselves, over a socket pair.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from contextlib import suppress

from ..model.counting import counted
from ..model.errors import (
    AfunixError,
    BrokenStreamError,
    DescriptorsNotAcceptedError,
    MessageTooLongError,
    NobodyListensError,
    errno_name,
)
from ..model.escaping import quote
from .ancillary import pack_descriptors
from .descriptor_words import describe
from .descriptors import explain_not_open


def explain(
    error: OSError, name: str, fds: Sequence[int], size: int, *, sent: int = 0, most: int = 0
) -> Exception:
    """`error`, which sending `size` bytes with `fds` to `name` has raised after `sent` of them, as what it means. `most`
    go in one record.
    """
    shown, number = quote(name), error.errno or 0
    word = errno_name(number)
    if number == errno.EPERM:
        return DescriptorsNotAcceptedError(
            f"{shown} takes no descriptors ({word})",
            hint="the receiver has to want them: 'afunix fd receive', or accept_fds in a program",
            errno=number,
        )
    if number == errno.ETOOMANYREFS:
        return AfunixError(
            f"too many descriptors are under way to receivers that have not read them ({word})",
            hint="'ulimit -n' bounds those of a user, too; try again once they were read",
            errno=number,
        )
    if number == errno.EMSGSIZE:
        return MessageTooLongError(
            f"{counted(size, 'byte')} are too many for one message to {shown}, expected at most {most} ({word})",
            hint="send less along with the descriptors",
        )
    if number == errno.ECONNREFUSED:
        return NobodyListensError(f"{shown} is closed: nobody receives there any more ({word})")
    if isinstance(error, ConnectionError):
        what = (
            f"after {sent} of {size} bytes, the descriptors with them" if sent else "before it had anything"
        )
        return BrokenStreamError(f"{shown} closed the connection {what} ({word})", bytes_sent=sent)
    return _explain_kind(error, fds) if number == errno.EINVAL else explain_not_open(error, fds)


def _explain_kind(error: OSError, fds: Sequence[int]) -> Exception:
    refused = [fd for fd in fds if not can_be_sent(fd)]
    if not refused:
        return error
    return AfunixError(
        f"descriptor {refused[0]} ({quote(describe(refused[0]))}) cannot be sent ({errno_name(error.errno)})",
        hint="the kernel passes on files, pipes, sockets and most others, but no io_uring",
        errno=error.errno,
    )


def can_be_sent(fd: int) -> bool:
    """Does the kernel take this one? It is sent to ourselves, and comes to nothing."""
    one, other = socket.socketpair()
    with one, other, suppress(OSError):
        one.sendmsg((b"\0",), pack_descriptors((fd,)), socket.MSG_DONTWAIT)
        return True
    return False
