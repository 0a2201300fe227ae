"""Where a stream stands, and what has gone through it: values that `state` and `stats` return."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """A stream's two directions, or how it ended. `lifecycle.State` is about its socket's calls."""

    OPEN = "both directions are open"
    RECEIVE_ENDED = "the peer sends no more"
    SEND_ENDED = "we send no more, or the peer receives no more"
    ENDED = "both directions have ended"
    BROKEN = "bytes were lost: a reset, or a send that was cut off"
    CLOSED = "closed here"
    DETACHED = "given to somebody else"


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters of one stream, in bytes since it was opened; they never go back, and stay readable after close.

    `bytes_received` is what the kernel gave, once, also what was read ahead or put back; not what `unread` or
    `attach(unread=…)` brought along, which another stream has counted, or nobody.
    `bytes_queued` is what can be received now, put-back bytes included (FIONREAD); 0 once it is closed.
    `descriptors_closed`: descriptors that came and that nobody took; where the kernel discards them before
    they are opened it tells only that some came, and one is counted for each such receive.
    """

    bytes_received: int
    bytes_sent: int
    bytes_queued: int
    descriptors_closed: int


@dataclass(frozen=True, slots=True)
class ServerStats:
    """Counters of one server since its start, in clients and bytes.

    `live` are being served, `waiting` are accepted and wait for a place (`queue_timeout`); `refused` broke a rule or
    a limit, `dropped` waited too long or left while they waited, of `failed` the handler raised. Bytes count those of
    live clients, too.
    """

    accepted: int
    live: int
    waiting: int
    refused: int
    dropped: int
    failed: int
    bytes_received: int
    bytes_sent: int
