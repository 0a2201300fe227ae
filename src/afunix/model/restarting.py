"""When a service that has ended may be started again: at once, unless it keeps ending soon after its start.

One that fails soon waits 0.1 s, 0.2 s, 0.4 s and so on, at most 10 s; who has lived for a while begins anew. One that ends
well may do so as often as systemd lets it (TriggerLimitBurst=, systemd.socket(5)), since to serve one client and end is a
way to work; beyond that it waits 0.1 s, or one that takes nobody from the queue would be started without end. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0

LONG_ENOUGH_S = 5.0
"""Who has lived for so long has got over whatever ended it before."""

OFTEN = 20
OFTEN_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """What is known of the ends so far. `pause_s`: wait so long before the next start."""

    pause_s: float = 0.0
    good_ends: tuple[float, ...] = ()

    def after_end(self, at_s: float, lived_s: float, *, is_good: bool) -> Restarts:
        """It has ended at `at_s`, `lived_s` after its start; well, or with an error or by a signal."""
        if lived_s >= LONG_ENOUGH_S:
            return Restarts()
        if not is_good:
            return Restarts(min(max(self.pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S))
        ends = (*(end for end in self.good_ends if at_s - end < OFTEN_WITHIN_S), at_s)
        return Restarts(FIRST_PAUSE_S if len(ends) > OFTEN else 0.0, ends)
