"""When a service that has ended may be started again: at once, unless it keeps ending soon after its start.

One that fails soon waits 0.1 s, 0.2 s, 0.4 s and so on, at most 10 s; who has lived for a while begins anew. One that ends
well and has taken somebody from the queue waits for nothing, however often: to serve one client and end is a way to work.
One that ends well and has not, as far as can be seen, may do so as often as systemd lets it (TriggerLimitBurst=,
systemd.socket(5)); beyond that it waits 0.1 s, or one that takes nobody would be started without end. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0

LONG_ENOUGH_S = 5.0
"""Who has lived for so long has got over whatever ended it before."""

OFTEN = 20
OFTEN_WITHIN_S = 2.0


class Queue(NamedTuple):
    """Who waits, as seen from outside: `length` clients, each known by its socket's inode, 0 if it has gone meanwhile; or
    datagrams, of which `first` is the next one, and `length` 1 if there is any. No `clients`: too many to be told apart.
    """

    length: int = 0
    clients: tuple[int, ...] = ()
    first: bytes = b""


def has_moved(before: Queue | None, after: Queue | None) -> bool | None:
    """Has somebody left the queue at its head, others having come meanwhile or not? Nobody waited: nothing to be seen, so
    yes. None: it cannot be told, for a queue was not to be seen, or two datagrams are alike.
    """
    if before is None or after is None:
        return None
    if not before.length or after.length < before.length or after.first != before.first:
        return True
    heads = zip(before.clients, after.clients, strict=False)
    if any(now and now != then for then, now in heads):
        return True
    return False if before.clients and after.clients else None


@dataclass(frozen=True, slots=True)
class Restarts:
    """What is known of the ends so far. `pause_s`: wait so long before the next start."""

    pause_s: float = 0.0
    idle_ends: tuple[float, ...] = ()

    def after_end(
        self, at_s: float, lived_s: float, *, is_good: bool, has_served: bool | None = None
    ) -> Restarts:
        """It has ended at `at_s`, `lived_s` after its start; well, or with an error or by a signal. `has_served`: did it
        take anybody from the queue? None: nobody knows.
        """
        if lived_s >= LONG_ENOUGH_S or (is_good and has_served):
            return Restarts()
        if not is_good:
            return Restarts(min(max(self.pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S))
        ends = (*(end for end in self.idle_ends if at_s - end < OFTEN_WITHIN_S), at_s)
        return Restarts(FIRST_PAUSE_S if len(ends) > OFTEN else 0.0, ends)
