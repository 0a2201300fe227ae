"""What an experiment of `demo` brought to light: the stories, a comparison in figures, and what came as a surprise.

Values. `tools.demo.experiment` has the experiments and makes these; `cli.demo` prints them, `formats.sequence` draws
the stories.
"""

from __future__ import annotations

from dataclasses import dataclass

from .sequence import Story


@dataclass(frozen=True, slots=True)
class Comparison:
    """A small table that is read beside a story: a header, and rows of as many cells as it has."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"row {row!r} has {len(row)} cells, expected {len(self.header)}")


@dataclass(frozen=True, slots=True)
class Result:
    """What happened: the stories in their order; `surprises` are sentences, each of something that the explanation
    does not cover, because this kernel (or this machine) did something else.
    """

    stories: tuple[Story, ...]
    comparison: Comparison | None = None
    surprises: tuple[str, ...] = ()

    @property
    def is_as_explained(self) -> bool:
        """Whether every call ended as the explanation says."""
        return not self.surprises
