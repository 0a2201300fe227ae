"""Measure afunix's library and its peers in turn, under several Pythons in one run, and print the report (Markdown).

    python bench/library/run.py [NAMES…] [--quick] [--repeat N] [--write docs/benchmarks.md]
                                [--venvs DIR] [--python 3.13 …]

NAMES are shapes or beginnings of their names (`echo`, `large`); without any, all. Progress goes to STDERR. This
file knows the order of things; what is measured stands in shapes.py, who in contenders.py.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence

sys.path.insert(
    0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
)  # run as a file, it is no package

from bench import document, workplace
from bench.library import pythons, sampling, table
from bench.library.contenders import IMPORTS, Contender
from bench.library.pythons import Python
from bench.library.shapes import SHAPES, Shape
from bench.library.table import Rows
from bench.measure import MeasurementError
from bench.results import Row
from bench.run import raise_descriptor_limit, say
from bench.workplace import Workplace

_QUICK_SCALE = 1 / 8
_ROUNDS = 5
_MINORS = ("3.11", "3.13")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/library/run.py", description="Measure afunix's library and its peers in one run."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="shapes, or beginnings of their names")
    parser.add_argument("--list", action="store_true", help="print the shapes and end")
    parser.add_argument("--quick", action="store_true", help="an eighth of the work, one round")
    parser.add_argument("--repeat", type=int, metavar="N", help=f"rounds (default {_ROUNDS}, 1 with --quick)")
    parser.add_argument("--write", metavar="FILE", help="replace the library's part of the report there")
    parser.add_argument(
        "--venvs", metavar="DIR", help="where virtual environments are kept (default: nowhere)"
    )
    parser.add_argument(
        "--python", action="append", metavar="3.N", help=f"versions (default {', '.join(_MINORS)})"
    )
    given = parser.parse_args(argv)
    if given.write and given.names:
        parser.error("--write replaces the whole part, so it takes no NAMES")
    for name in given.names:
        if not _chosen([name]):
            known = ", ".join(shape.name for shape in SHAPES)
            parser.error(f"no shape begins with '{name}', expected one of {known}")
    return given


def _chosen(names: Sequence[str]) -> list[Shape]:
    return [shape for shape in SHAPES if not names or shape.name.startswith(tuple(names))]


def _measure(work: Workplace, shape: Shape, repeat: int, found: Sequence[Python]) -> Rows:
    """All rounds of a shape, the contenders in turn. Who fails once is not asked again."""
    rows: Rows = {(c.name, python.minor): Row() for c in shape.contenders for python in found}
    for _ in range(repeat):
        for contender in shape.contenders:
            for python in found:
                row = rows[contender.name, python.minor]
                if not row.reason:
                    _sample(work, shape, contender, python, row)
    return rows


def _sample(work: Workplace, shape: Shape, contender: Contender, python: Python, row: Row) -> None:
    who = f"{shape.name}: {contender.name}, {python.minor}"
    try:
        sample = shape.measure(work, contender, python)
    except MeasurementError as error:
        row.reason = "failed: " + str(error).replace(work.directory, "…")
        say(f"{who}: {row.reason}")
        return
    row.samples.append(sample)
    say(f"{who}: " + ", ".join(f"{key} {value:.4g}" for key, value in sample.items()))


def _report(
    measured: Sequence[tuple[Shape, Rows]], found: Sequence[Python], repeat: int, scale: float
) -> str:
    modules = {python.minor: sampling.imported_modules(IMPORTS[0], python) for python in found}
    return "\n".join(
        (
            table.preface(found, repeat, scale),
            table.goals(measured, found),
            *(table.shape_table(shape, rows, found) for shape, rows in measured),
            table.imported(modules),
        )
    )


def _forget_python_settings() -> None:
    """Debug modes and search paths of the caller's would be measured too."""
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]


def main(argv: Sequence[str] | None = None) -> int:
    given = _arguments(argv)
    if given.list:
        print("\n".join(f"{shape.name:12} {shape.title}" for shape in SHAPES))
        return 0
    if shutil.which("cc") is None:
        say("bench: error: no 'cc' on the PATH, and the clients in bench/c have to be compiled")
        say("bench: hint: install a C compiler (on Debian the package 'gcc')")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is ended
    _forget_python_settings()
    raise_descriptor_limit()
    scale = _QUICK_SCALE if given.quick else 1.0
    repeat = given.repeat or (1 if given.quick else _ROUNDS)
    with (
        tempfile.TemporaryDirectory(prefix="venvs-") as temporary,
        workplace.open_workplace("", scale, 0) as work,
    ):
        found = pythons.environments(given.python or _MINORS, given.venvs or temporary)
        if not found:
            say(f"bench: error: no Python {' or '.join(given.python or _MINORS)} is on the PATH or pyenv's")
            return 1
        measured = [(shape, _measure(work, shape, repeat, found)) for shape in _chosen(given.names)]
        text = _report(measured, found, repeat, scale)
    print(text, end="")
    if given.write:
        document.write_part(given.write, "library", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
