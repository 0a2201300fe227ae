"""What an error of accept(2) means, and how long to wait after it. Pure; `streams.acceptor` acts on it.

"Any error" is not one thing: a client that left is nothing, a full descriptor table passes when a client leaves,
and anything else is a fault that must be told. accept(2) has the list.
"""

from __future__ import annotations

import errno
from enum import Enum

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.2
"""Between tries while something outside (another process, the system) holds the descriptors: five a second cost
nothing, and service resumes within a quarter of a second."""


class AcceptFailure(Enum):
    """What to do after a failed accept."""

    TRANSIENT = "try the next client"
    SHORTAGE = "wait until something is given back"
    FAULT = "report it and stop accepting"


_CLASSES = {
    errno.ECONNABORTED: AcceptFailure.TRANSIENT,
    errno.EINTR: AcceptFailure.TRANSIENT,
    errno.EPROTO: AcceptFailure.TRANSIENT,
    errno.EPERM: AcceptFailure.TRANSIENT,
    errno.EMFILE: AcceptFailure.SHORTAGE,
    errno.ENFILE: AcceptFailure.SHORTAGE,
    errno.ENOMEM: AcceptFailure.SHORTAGE,
    errno.ENOBUFS: AcceptFailure.SHORTAGE,
}


def classify(number: int | None) -> AcceptFailure:
    """The class of an errno of accept(2)."""
    return _CLASSES.get(number or 0, AcceptFailure.FAULT)


def next_pause(last_s: float) -> float:
    """The pause after one of `last_s` seconds that did not help; 0 for the first."""
    return min(max(last_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
