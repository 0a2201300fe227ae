"""From what several processes report to one Story: who caused what, in which order, on which life line. Pure.

A report is made right after a call returned, so its time is a moment by which the call had happened. A cause stands
before its effect, whatever the order of the reports' times was: `causality` tells what caused what.

`sequence` has the result. Where the reports come from, and how a call is written, is the caller's matter.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from . import events
from .causality import (
    CALLS,
    Cause,
    Process,
    Report,
    ReportedCall,
    SocketLife,
    Words,
    bytes_moved,
    count_of_bytes,
    find_causes,
    follow,
)
from .lifecycle import Call
from .sequence import Lifeline, Outcome, Step, Story

MANY = 4
"""So many reads, or writes, of one socket in a row stay steps of their own; more become one step with a total."""


def tell(
    title: str,
    processes: Sequence[Process],
    reports: Iterable[Report],
    *,
    words: Words,
    waited_for: Iterable[tuple[int, int]] = (),
    reproducible: bool = False,
    notes: Iterable[str] = (),
) -> Story:
    """The story of `reports`, of which those of one process are in the order in which they happened.

    `waited_for` are pairs of places in `reports`: whoever led the processes held the second back until it had seen
    the first. That makes no arrow, but an order.

    `reproducible`: without times and pids, and in an order that depends only on what caused what, so that two runs
    in which the same happened are told alike, whichever of two clients the server turned to first.

    `notes`: sentences for the foot of the story.
    """
    made = list(follow(reports, words))
    calls = [call for call in made if call is not None]
    causes = find_causes(calls, processes)
    after = _order_in_processes(calls, relaxed=reproducible)
    held = [(made[first], made[second]) for first, second in waited_for]
    for earlier, later in [*((cause.of, cause.to) for cause in causes), *held]:
        if earlier is not None and later is not None:
            after[earlier].append(later)
    ordered = _in_order(calls, after, reproducible=reproducible)
    lifelines = tuple(Lifeline(p.name, "" if reproducible else f"pid {p.pid}") for p in processes)
    steps = tuple(_steps(ordered, causes, has_times=not reproducible))
    return Story(title, lifelines, steps, tuple(notes))


# ---- in which order


def _order_in_processes(
    calls: Sequence[ReportedCall], *, relaxed: bool
) -> dict[ReportedCall, list[ReportedCall]]:
    """Call to those that have to come after it in its own process.

    `relaxed`: what a server does for one client has no order against what it does for another; both have one
    against what it does with its listener, and with every new socket.
    """
    after: dict[ReportedCall, list[ReportedCall]] = {call: [] for call in calls}
    ends: dict[tuple[int, SocketLife | None], list[ReportedCall]] = defaultdict(list)
    for call in calls:
        lane = call.socket if relaxed and not _concerns_all(call) else None
        before = ends[call.line, lane] or ends[call.line, None]
        if lane is None:
            before = [last for (line, _), lasts in ends.items() if line == call.line for last in lasts]
            for key in [key for key in ends if key[0] == call.line]:
                del ends[key]
        for earlier in before:
            after[earlier].append(call)
        ends[call.line, lane] = [call]
    return after


def _concerns_all(call: ReportedCall) -> bool:
    return isinstance(call.event, events.Created | events.Accepted) or call.socket.is_listener


def _in_order(
    calls: Sequence[ReportedCall], after: dict[ReportedCall, list[ReportedCall]], *, reproducible: bool
) -> list[ReportedCall]:
    """Causes first; of those without one the earliest, or where times do not count, the leftmost."""
    missing = dict.fromkeys(calls, 0)
    for effects in after.values():
        for effect in effects:
            missing[effect] += 1
    ordered: list[ReportedCall] = []
    if not reproducible:
        _lower_times(calls, after)
    places = _places(calls)
    key: dict[ReportedCall, _Key] = {
        call: (0.0 if reproducible else call.at, *places[call]) for call in calls
    }
    ready = [(key[call], call) for call in calls if not missing[call]]
    heapq.heapify(ready)
    while ready:
        call = heapq.heappop(ready)[1]
        ordered.append(call)
        for effect in after[call]:
            missing[effect] -= 1
            if not missing[effect]:
                heapq.heappush(ready, (key[effect], effect))
    # Reports that contradict each other leave a circle; they are told all the same, by their keys.
    return ordered + sorted({*calls} - {*ordered}, key=key.__getitem__)


_Key = tuple[float, int, int, int]


def _places(calls: Sequence[ReportedCall]) -> dict[ReportedCall, tuple[int, int, int]]:
    """For ties: life line, which of its sockets, which call on that one; all of them the same in every run."""
    sockets: dict[int, dict[SocketLife, int]] = defaultdict(dict)
    for call in calls:
        of_line = sockets[call.line]
        of_line.setdefault(call.socket, len(of_line))
    return {
        call: (line, which, nth)
        for line, of_line in sockets.items()
        for socket, which in of_line.items()
        for nth, call in enumerate(socket.calls)
    }


def _lower_times(calls: Sequence[ReportedCall], after: dict[ReportedCall, list[ReportedCall]]) -> None:
    """A call had happened by the time of its report, and before its effects: the earliest of these times holds."""
    changed = list(calls)
    before: dict[ReportedCall, list[ReportedCall]] = defaultdict(list)
    for cause, effects in after.items():
        for effect in effects:
            before[effect].append(cause)
    while changed:
        effect = changed.pop()
        for cause in before[effect]:
            if cause.at > effect.at:
                cause.at = effect.at
                changed.append(cause)


# ---- as steps


@dataclass(frozen=True, slots=True)
class _Run:
    """What becomes one step: one call, or many reads or writes of one socket. `place`: where in the order."""

    calls: tuple[ReportedCall, ...]
    place: int

    @property
    def total_words(self) -> str:
        """How many bytes several calls have moved together; "" of one call."""
        return "" if len(self.calls) == 1 else count_of_bytes(sum(map(bytes_moved, self.calls)))

    @property
    def text(self) -> str:
        first = self.calls[0]
        if len(self.calls) == 1:
            return first.text
        made = CALLS[type(first.event)].value
        return f"{made}({first.event.fd}) ×{len(self.calls):,} = {self.total_words}"


def _steps(ordered: Sequence[ReportedCall], causes: Iterable[Cause], *, has_times: bool) -> Iterator[Step]:
    """One step for each run, with an arrow to where its first effect is."""
    runs = _runs(ordered)
    home = {call: index for index, run in enumerate(runs) for call in run.calls}
    arrows: dict[int, tuple[int, str]] = {}
    for cause in causes:
        source = home[cause.of]
        if source not in arrows:  # a long run has thousands of causes, and the first says it for all
            arrows[source] = (home[cause.to], runs[source].total_words or cause.label)
    start = ordered[0].at if ordered else 0.0
    for index, run in enumerate(runs):
        first, last = run.calls[0], run.calls[-1]
        to, arrow = arrows.get(index, (None, ""))
        at = ordered[run.place].at - start if has_times else 0.0
        has_failed = first.is_out_of_order or isinstance(first.event, events.CallFailed)
        outcome = Outcome.FAILED if has_failed else Outcome.DONE
        yield Step(first.line, run.text, at, outcome, to, arrow, last.inside)


def _runs(ordered: Sequence[ReportedCall]) -> list[_Run]:
    """Writes stand where the first of them was, reads where the last was: so arrows lead forward in any case."""
    place = {call: index for index, call in enumerate(ordered)}
    runs = []
    for socket in dict.fromkeys(call.socket for call in ordered):
        for kind, group in groupby(socket.calls, _kind):
            calls = tuple(group)
            if kind is not None and len(calls) > MANY:
                runs.append(_Run(calls, place[calls[0 if kind is Call.WRITE else -1]]))
            else:
                runs += [_Run((call,), place[call]) for call in calls]
    return sorted(runs, key=lambda run: run.place)


def _kind(call: ReportedCall) -> Call | None:
    """What may be told as one with its like: bytes that moved."""
    moves = isinstance(call.event, events.BytesRead | events.BytesWritten) and not call.is_out_of_order
    return CALLS[type(call.event)] if moves and bytes_moved(call) else None
