"""From samples to medians, ratios and verdicts: values in, values out.

A ratio is always "how many times better", whichever way its column counts. What could not be measured is a
reason in words, and a goal that needs it is neither reached nor missed.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from bench.bulk import Sample
from bench.contenders import Role
from bench.scenarios import Column, Goal, Scenario


@dataclass(slots=True)
class Row:
    """What one contender did in one scenario: its samples, or why there are none."""

    samples: list[Sample] = field(default_factory=list)
    reason: str = ""

    def figure(self, key: str) -> float | None:
        """The median of a figure, or None."""
        values = [sample[key] for sample in self.samples if key in sample]
        return statistics.median(values) if values and not self.reason else None

    def spread(self, key: str) -> tuple[float, float] | None:
        """The smallest and the largest sample of a figure, or None."""
        values = [sample[key] for sample in self.samples if key in sample]
        return (min(values), max(values)) if values and not self.reason else None


Table = dict[str, Row]
"""Rows of one scenario by the contender's name."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and what came of it. `reached` is None where something was not measured."""

    goal: Goal
    measured: str
    reached: bool | None


def advantage(column: Column, ours: float, theirs: float) -> float:
    """How many times better ours is."""
    better, worse = (ours, theirs) if column.higher_is_better else (theirs, ours)
    return better / worse if worse else float("inf") if better else 1.0


def best_of(
    scenario: Scenario, table: Table, column: Column, names: tuple[str, ...]
) -> tuple[str, float] | None:
    """The best of these contenders and its figure; without names, of all peers that have no idle crowd."""
    wanted = names or tuple(c.name for c in scenario.contenders if c.role is Role.PEER and not c.idle)
    found = [(name, figure) for name in wanted if (figure := table[name].figure(column.key)) is not None]
    if not found:
        return None
    choose = max if column.higher_is_better else min
    return choose(found, key=lambda named: named[1])


def judge(scenario: Scenario, table: Table, goal: Goal) -> Verdict:
    """One goal against the figures of the run."""
    column = next(column for column in scenario.columns if column.key == goal.column)
    ours = table[goal.subject].figure(column.key)
    if ours is None:
        return Verdict(goal, "not measured", None)
    if goal.at_most is not None:
        return Verdict(goal, f"{ours:,.{column.decimals}f}", ours <= goal.at_most)
    other = best_of(scenario, table, column, goal.against)
    if other is None:
        return Verdict(goal, "nobody to compare with", None)
    ratio = advantage(column, ours, other[1])
    return Verdict(goal, f"{ratio:.2f} × {other[0]}", ratio >= goal.factor)
