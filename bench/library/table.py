"""The library's part of the report as Markdown: goals with their verdicts, and a table for each shape.

Words only, no measuring. Nothing in it names the machine, a person or a path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench import report
from bench.library import sampling
from bench.library.contenders import AFUNIX, AFUNIX_UVLOOP, Contender
from bench.library.pythons import Python
from bench.library.shapes import Goal, Shape
from bench.results import Row

Rows = dict[tuple[str, str], Row]
"""What was measured in one shape, by the contender's name and the version of Python (3.13)."""

_PREFACE = """\
## The library

`python bench/library/run.py --write docs/benchmarks.md` measured this: servers of a few lines in Python, each
written as its library's documentation writes one (`bench/library/servers`), in one run. Run it on your
machine: it takes a C compiler, the Pythons to be found there, and a quarter of an hour (`--quick`: a minute);
it makes its own virtual environments.

**How.** The figure is the CPU that a server's process used (user and system, all its threads) for one
operation, read from the kernel's clock of that process at both ends of a window of {window:g} s, after a warm-up.
In the window one C program (`bench/c/busy.c`) keeps all connections busy, so that no client in Python is the
limit; it sends again when it has its answer. For every sample the server is started anew. The contenders take
turns, each under every Python before the next, so that a noisy minute hurts all of them; a figure is the
median of {rounds}, the range beside it the smallest and the largest. `×` is how many times as dear as
afunix on asyncio's own loop a contender is. Nothing is pinned to a processor.

**What to know.** asyncio's transports receive into 256 KiB that they allocate each time, which costs little or
much as the process's heap happens to lie: here one client has come and gone before, which is the cheap case (a
server whose first 64 clients come together pays two to three times as much for each echo). The Protocols apply
no back-pressure, as in the documentation's examples. anyio runs on its asyncio backend; trio is given a Unix
listener, as it opens none. Memory is the growth of the process's proportional set size, with the other ends in
another process; what the kernel keeps for a socket is not in it. Threads (one for each connection) are given a
tenth of that crowd. `import` is the best of {imports} new interpreters, timed from the statement on, with
bytecode compiled before.
{quick}
**The machine.** {machine}. {pythons}.
"""
_QUICK = "\nThis was a quick run: {part} of the time and the amounts. Its figures are rough.\n"


def preface(pythons: Sequence[Python], repeat: int, scale: float) -> str:
    return _PREFACE.format(
        window=sampling.window_s(scale),
        rounds=f"{repeat} round{'s' if repeat > 1 else ''}",
        imports=sampling.imports_each(scale),
        quick=_QUICK.format(part=f"1/{round(1 / scale)}") if scale < 1 else "",
        machine=report.hardware(),
        pythons="; ".join(f"Python {python.version} with {python.peers}" for python in pythons),
    )


def goals(measured: Sequence[tuple[Shape, Rows]], pythons: Sequence[Python]) -> str:
    """All goals, judged under each Python: on asyncio's own loop, and on uvloop's for comparison."""
    subjects = [(name, python.minor) for name in (AFUNIX, AFUNIX_UVLOOP) for python in pythons]
    headings = ["work", "goal", *(f"{name}, {minor}" for name, minor in subjects)]
    rows = []
    for shape, table in measured:
        title = shape.title
        for goal in shape.goals:
            rows.append(
                [title, goal.words, *(_verdict(shape, table, goal, *subject) for subject in subjects)]
            )
            title = ""
    return "### Goals of the library\n\n" + report.markdown_table(headings, rows, 0) + "\n"


def _verdict(shape: Shape, table: Rows, goal: Goal, name: str, minor: str) -> str:
    ours, theirs = _figure(shape, table, name, minor), 1.0
    if goal.against:
        theirs = _figure(shape, table, goal.against, minor) or 0.0
    if (name, minor) not in table:
        return ""
    if ours is None or not theirs:
        return "not measured"
    shown = f"{ours / theirs:.2f} ×" if goal.against else f"{ours:.{shape.decimals}f}"
    return f"{shown} {'PASS' if ours <= goal.at_most * theirs else '**miss**'}"


def _figure(shape: Shape, table: Rows, name: str, minor: str) -> float | None:
    row = table.get((name, minor))
    return None if row is None else row.figure(shape.key)


def shape_table(shape: Shape, table: Rows, pythons: Sequence[Python]) -> str:
    """One shape's figures, the Pythons side by side."""
    headings = [shape.unit, *(word for python in pythons for word in (python.minor, "range", "×"))]
    rows = [_row(shape, table, contender, pythons) for contender in shape.contenders]
    return (
        f"### {shape.title}\n\n{report.markdown_table(headings, rows, len(headings) - 1)}\n\n`{shape.name}`\n"
    )


def _row(shape: Shape, table: Rows, contender: Contender, pythons: Sequence[Python]) -> list[str]:
    cells = [f"**{contender.name}**" if contender.is_ours else contender.name]
    for python in pythons:
        row = table[contender.name, python.minor]
        figure, spread = row.figure(shape.key), row.spread(shape.key)
        ours = _figure(shape, table, AFUNIX, python.minor)
        if figure is None or spread is None:
            cells += [row.reason, "", ""]
        else:
            between = f"{spread[0]:,.{shape.decimals}f}–{spread[1]:,.{shape.decimals}f}"
            cells += [f"{figure:,.{shape.decimals}f}", between, f"{figure / ours:.2f}" if ours else ""]
    return cells


def imported(modules: Mapping[str, Sequence[str]]) -> str:
    """What `import afunix` loads, for each Python by its version."""
    lines = (
        f"- Python {minor}: {', '.join(f'`{name}`' for name in names)}" for minor, names in modules.items()
    )
    return "What `import afunix` loads beyond what a bare interpreter has:\n\n" + "\n".join(lines) + "\n"
