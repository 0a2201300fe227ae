"""A story as lines that a test compares: `server: bind(3, "hello.sock")`, and arrows as `write(4) = 6 → read(5) = 6`."""

from __future__ import annotations

from functools import cache

from afunix.model.experiment import Result
from afunix.model.sequence import Story
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
    """Every arrow: what caused what, and what is written on it."""
    return [
        f"{step.text} → {story.steps[step.to].text}" + (f" [{step.arrow}]" if step.arrow else "")
        for step in story.steps
        if step.to is not None
    ]
