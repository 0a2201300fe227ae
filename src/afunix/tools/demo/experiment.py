"""An experiment: the question it answers, what it tries, and what the answer means. `perform` makes it.

An experiment is a function that makes calls on a `Stage` and says of each how it is expected to end. What it explains
holds only where that came true, so a Result that is not `is_as_explained` must not be printed with the explanation
alone. This knows neither the words on the terminal (`cli.demo`) nor the drawing (`formats.sequence`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...model.errors import errno_name
from ...model.experiment import Result
from .stage import BrokenOff, Stage


@dataclass(frozen=True, slots=True)
class Experiment:
    """`question` is one line, `plan` what will be tried, `explanation` two sentences that say what the outcome means.

    `manual_pages` are those to read, as `listen(2)`. `run` makes the calls; `perform` calls it.
    """

    name: str
    question: str
    plan: str
    explanation: str
    manual_pages: tuple[str, ...]
    run: Callable[[Stage], None]


def perform(experiment: Experiment, *, inside: bool = False, reproducible: bool = False) -> Result:
    """Make the experiment in a directory of its own, of which nothing is left; at most about 1.5 s.

    `inside`: each step also tells what changed in the kernel's table. `reproducible`: the same text every time
    (numbers of descriptors as in a new process; words instead of process numbers, ports, and random names).

    A call that ended otherwise than the explanation says is a surprise in the Result, never an exception.

    Raises:
        OSError: no temporary directory can be made.
    """
    with Stage(inside=inside, reproducible=reproducible) as stage:
        try:
            experiment.run(stage)
        except BrokenOff:
            pass  # said already: it is the last of the surprises
        except OSError as error:
            stage.surprise(f"the experiment broke off: {error.strerror or error} ({errno_name(error.errno)})")
    return stage.result()
