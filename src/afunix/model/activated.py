"""What happens to a service that is started for its clients: it began, it ended, it could not begin. Values only.

`tools.activate_service` tells of them, `cli.activate_narration` words them. A `code` is an exit status, or the negative of
the signal that ended the process.
"""

from __future__ import annotations

from typing import NamedTuple


class Begun(NamedTuple):
    """The service runs as the process `pid`; `cause` says why: somebody connected, or it was asked for at once."""

    pid: int
    path: str
    cause: str


class Over(NamedTuple):
    """It has ended after `lived_s` seconds, and is not started again for `pause_s`. `is_wanted`: was it told to end?
    `has_served`: has it taken somebody from the queue; None: that cannot be seen.
    """

    pid: int
    code: int
    lived_s: float
    pause_s: float = 0.0
    is_wanted: bool = False
    has_served: bool | None = None


class NotBegun(NamedTuple):
    """There was no process to be had, for the reason `errno`; the next try is in `pause_s`."""

    path: str
    errno: int
    reason: str
    pause_s: float


class Signalled(NamedTuple):
    """A signal of ours was passed on to the process `pid`; 0: there was none. `is_permitted`: were we allowed to?"""

    number: int
    pid: int
    is_permitted: bool = True


class Orphaned(NamedTuple):
    """At the end the processes `pids`, which the service has left behind, were told to end by the signal `number`."""

    number: int
    pids: tuple[int, ...]


Happening = Begun | Over | NotBegun | Signalled | Orphaned
