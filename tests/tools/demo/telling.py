"""A story as lines that a test compares: `server: bind(3, "hello.sock")`, and arrows as `write(4) = 6 → read(5) = 6`."""

from __future__ import annotations

from functools import cache

from afunix.model.experiment import Result
from afunix.model.sequence import Story, find_arrows
from afunix.tools.demo.experiment import perform
from afunix.tools.demo.experiments import EXPERIMENTS


@cache
def result_of(name: str) -> Result:
    """The experiment, made once in this run of the tests, with numbers that do not depend on the tests."""
    return perform(EXPERIMENTS[name], reproducible=True)


def calls(story: Story) -> list[str]:
    """Every step with its life line."""
    return [f"{story.lifelines[step.line].name}: {step.text}" for step in story.steps]


def arrows(story: Story) -> list[str]:
    """Every arrow by where it begins: what caused what, and what is written on it."""
    found = sorted((it for each in find_arrows(story).values() for it in each), key=lambda it: it.source)
    return [
        f"{story.steps[it.source].text} → {story.steps[it.target].text}"
        + (f" [{it.label}]" if it.label else "")
        for it in found
    ]
