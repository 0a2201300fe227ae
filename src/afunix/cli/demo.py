"""`afunix demo`: what happens between sockets, drawn: the options, and the words around the drawings.

The main story is `tools.demo.main_story`, experiments are in `tools.demo.experiments`; both are imported when one is
asked for. Where and how they are shown is `drawing`'s matter. The status is 1 if bytes got lost, or if an experiment
came out otherwise than it is explained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem

from ..model.escaping import quote
from .destination import check_destination
from .drawing import NotShown, Pictures, Screen, Show
from .messages import Messages, say_error
from .options import exclude
from .standard import require_stdout

if TYPE_CHECKING:
    from ..kernel.interrupts import Interrupts
    from ..model.experiment import Result
    from ..tools.demo.delivery import Delivery
    from ..tools.demo.experiment import Experiment

MOST_CLIENTS = 8
"""More life lines are no drawing that anybody reads."""

MOST_FILES_DRAWN = 5
"""Of files, whose calls come in any order, the drawing can be read up to here; of more there is the table alone."""

_SHOWN_DIGITS = 16
"""Of a sha256; all of them are compared."""

_Result = TypeVar("_Result")


class UnknownExperiment(click.UsageError):
    """A word that names no experiment; `suggestion` is what may have been meant."""

    def __init__(self, word: str, names: Sequence[str], ctx: click.Context | None) -> None:
        from difflib import get_close_matches

        super().__init__(f"there is no experiment {quote(word)}", ctx)
        similar = get_close_matches(word, names, n=1)
        self.suggestion = (
            f"did you mean 'afunix demo {similar[0]}'?" if similar else "'afunix demo --list' names them"
        )


class ExperimentType(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """The name of an experiment."""

    name = "experiment"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        names = list(_experiments())
        if value not in names:
            raise UnknownExperiment(value, names, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [
            CompletionItem(name, help=experiment.question)
            for name, experiment in _experiments().items()
            if name.startswith(incomplete)
        ]


def _check_clients(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    if value is not None and not 1 <= value <= MOST_CLIENTS:
        raise click.BadParameter(f"{value} cannot be drawn: expected 1 to {MOST_CLIENTS}", ctx, param)
    return value


@click.command("demo", context_settings={"max_content_width": 100})
@click.argument("experiments", metavar="[EXPERIMENT…]", type=ExperimentType(), nargs=-1)
@click.option("--list", "lists", is_flag=True, help="Name the experiments, each with its question.")
@click.option("--all", "takes_all", is_flag=True, help="The main story, and every experiment.")
@click.option("--inside", is_flag=True, help="Show after each call what the kernel holds (sock_diag).")
@click.option(
    "--clients",
    type=int,
    metavar="N",
    callback=_check_clients,
    help=f"Of the main story, 1 to {MOST_CLIENTS}. [default: 2]",
)
@click.option(
    "--send",
    "files",
    multiple=True,
    metavar="FILE",
    help="A client that sends FILE; may be given again. Status 1 if other bytes come out.",
)
@click.option(
    "--svg",
    metavar="FILE",
    help="Make a picture instead (- is STDOUT); of several stories FILE-1.svg, FILE-2.svg, ….",
)
@click.option(
    "--reproducible", is_flag=True, help="No times and no process numbers: the same picture every time."
)
def command(
    experiments: tuple[str, ...],
    lists: bool,
    takes_all: bool,
    inside: bool,
    clients: int | None,
    files: tuple[str, ...],
    svg: str | None,
    reproducible: bool,
) -> int:
    """Show what happens between sockets: calls are really made, and what came of each is drawn.

    \b
      afunix demo                          a server and two clients, from socket(2) to close(2)
      afunix demo --inside                 and what the kernel holds after each call
      afunix demo --list                   the experiments, each with its question
      afunix demo half-close stale-file    two of them
      afunix demo --send a.bin --send b    your own files through a socket, compared at the end
      afunix demo --svg story.svg          as a picture

    In the story server and clients are processes of their own; in an experiment one process plays most roles.
    An experiment says what it tries, tries it, and explains what came out; the status is 1 if that was something else.
    Nothing is left behind, not even if it is killed.
    """
    exclude(
        ("--list", lists), ("--all", takes_all), ("EXPERIMENT", bool(experiments)), ("--send", bool(files))
    )
    exclude(("--clients", clients is not None), ("EXPERIMENT", bool(experiments)), ("--send", bool(files)))
    for name, is_given in (
        ("--inside", inside),
        ("--clients", clients is not None),
        ("--svg", svg is not None),
        ("--reproducible", reproducible),
    ):
        exclude(("--list", lists), (name, is_given))
    if reproducible and files:
        raise click.UsageError("--send cannot be --reproducible: how many calls a file takes differs")
    if svg is not None and len(files) > MOST_FILES_DRAWN:
        raise click.UsageError(
            f"{len(files)} files are too many for a picture that can be read: expected at most {MOST_FILES_DRAWN}"
        )
    if svg is None or svg == "-" or files:
        require_stdout("the picture" if svg == "-" else "what is shown")
    if lists:
        return _shown(_list)
    names = list(_experiments()) if takes_all else list(experiments)
    pieces: list[Callable[[Show], int]] = []
    if files:
        pieces.append(lambda show: _send(show, files, inside, to_stdout=svg != "-"))
    elif takes_all or not names:
        pieces.append(lambda show: _tell(show, clients or 2, inside, reproducible))
    for name in names:
        pieces.append(
            partial(_perform, experiment=_experiments()[name], inside=inside, reproducible=reproducible)
        )
    if svg is not None:
        check_destination(svg, is_several=len(pieces) > 1)
    return _shown(lambda: _show_all(pieces, svg))


def _show_all(pieces: Sequence[Callable[[Show], int]], svg: str | None) -> int:
    pictures = None if svg is None else Pictures(svg, is_several=len(pieces) > 1)
    show = pictures or Screen()
    status = max([piece(show) for piece in pieces])
    if pictures is not None:
        pictures.finish()
    return status


def _shown(work: Callable[[], int]) -> int:
    """The status of `work`, also where a signal or STDOUT ended it."""
    from ..kernel.interrupts import Interrupted

    try:
        return work()
    except Interrupted as interrupted:
        return -interrupted.number
    except NotShown as end:
        return end.status


def _interruptible(work: Callable[[Interrupts], _Result]) -> _Result:
    """`work` to its end, or to the first signal. What it started is put away before that has its effect.

    Raises:
        Interrupted: a signal came.
    """
    from ..kernel.interrupts import Interrupts

    with Interrupts() as interrupts:
        result = work(interrupts)
        interrupts.check()
    return result


def _experiments() -> Mapping[str, Experiment]:
    from ..tools.demo.experiments import EXPERIMENTS

    return EXPERIMENTS


def _list() -> int:
    Screen().table(
        ("EXPERIMENT", "QUESTION"),
        [(name, experiment.question) for name, experiment in _experiments().items()],
    )
    return 0


def _tell(show: Show, clients: int, inside: bool, reproducible: bool) -> int:
    from ..tools.demo.main_story import tell_main_story

    told = _interruptible(
        lambda interrupts: tell_main_story(
            clients=clients, inside=inside, reproducible=reproducible, interrupts=interrupts
        )
    )
    show.story(told.story, times=not reproducible)
    show.text("On the STDOUT of the server:", style="title")
    lines = told.came_out.decode("utf-8", "surrogateescape").splitlines()
    show.text(*(sorted(lines) if reproducible else lines), indent=2)
    return 0


def _perform(show: Show, experiment: Experiment, inside: bool, reproducible: bool) -> int:
    from ..tools.demo.experiment import perform

    result = _interruptible(lambda interrupts: perform(experiment, inside=inside, reproducible=reproducible))
    show.text(f"{experiment.name}: {experiment.question}", style="title")
    show.text(experiment.plan)
    for story in result.stories:
        show.story(replace(story, question=experiment.question), times=not reproducible)
    _explain(show, experiment, result)
    return 0 if result.is_as_explained else 1


def _explain(show: Show, experiment: Experiment, result: Result) -> None:
    """What it means; where it came out otherwise first that, for then the explanation is not one of what was seen."""
    if result.comparison is not None:
        show.text(result.comparison.title, style="title")
        show.table(result.comparison.header, result.comparison.rows)
    if result.is_as_explained:
        show.text(experiment.explanation)
    else:
        show.text("This kernel, or this machine, behaved otherwise than it is explained:", style="failed")
        show.text(*result.surprises, style="failed", indent=2)
        show.text(f"Elsewhere it is so: {experiment.explanation}")
    for surprise in result.surprises:
        Messages().warn(f"{experiment.name} came out otherwise than explained: {surprise}")
    show.text(f"Read: {', '.join(experiment.manual_pages)}", style="note")


def _send(show: Show, files: Sequence[str], inside: bool, *, to_stdout: bool) -> int:
    from ..tools.demo.main_story import send_files

    sent = _interruptible(lambda interrupts: send_files(files, inside=inside, interrupts=interrupts))
    if len(files) <= MOST_FILES_DRAWN:
        show.story(sent.story, times=True)
    else:
        show.text(
            f"{len(files)} clients at once, which is too many for a drawing that can be read (up to"
            f" {MOST_FILES_DRAWN} are drawn). What became of each file:"
        )
    if to_stdout:
        screen = show if isinstance(show, Screen) else Screen()
        screen.table(
            ("CLIENT", "FILE", "BYTES", "SHA256 SENT", "SHA256 CAME OUT", ""),
            [_row(number, delivery) for number, delivery in enumerate(sent.deliveries, 1)],
        )
    different = [delivery for delivery in sent.deliveries if not delivery.is_same]
    for delivery in different:
        say_error(
            f"{quote(delivery.path)} is not what came out: {delivery.sent_bytes:,} bytes went in,"
            f" {delivery.came_bytes:,} came out",
            "was the file changed meanwhile? its bytes are read again to be compared",
        )
    return 1 if different else 0


def _row(number: int, delivery: Delivery) -> tuple[str, ...]:
    return (
        str(number),
        delivery.path,
        f"{delivery.sent_bytes:,}",
        delivery.sent_sha256[:_SHOWN_DIGITS],
        delivery.came_sha256[:_SHOWN_DIGITS],
        "the same" if delivery.is_same else "DIFFERENT",
    )
