"""The standard descriptors 0 to 2: taken before anything else can get their numbers.

A program that is started with one of them closed would give its number to the first socket it opens, and the
next error message would go to a peer. STDIN and STDERR become /dev/null; so does STDOUT, but the commands
that have something to say there ask `require_stdout` first: data must not vanish without a word.
"""

from __future__ import annotations

import os

from ..model.errors import AddressError

_closed_at_start: set[int] = set()


class NoStdoutError(AddressError):
    """Started with STDOUT closed, by a command that writes to it: wrong use."""


def reserve() -> None:
    """Open /dev/null at each of 0, 1 and 2 that is closed, inheritable as those are."""
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            _closed_at_start.add(fd)
            os.set_inheritable(os.open("/dev/null", flags), True)  # the lowest free number is `fd`


def closed_at_start() -> frozenset[int]:
    """Those of 0 to 2 that nobody had opened for us."""
    return frozenset(_closed_at_start)


def require_stdout(what: str = "what is received") -> None:
    """To be called by a command that writes `what` to STDOUT, before it does anything.

    Raises:
        NoStdoutError: if there was no descriptor 1 when the program started.
    """
    if 1 in _closed_at_start:
        raise NoStdoutError(
            f"STDOUT is closed, and {what} has to go there (descriptor 1, EBADF)",
            hint="start it without '>&-'; to throw it away write '>/dev/null'",
        )
