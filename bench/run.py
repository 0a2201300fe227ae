"""Measure afunix and its peers in turn, in one run, and print the report (Markdown).

    python bench/run.py [NAMES…] [--quick] [--repeat N] [--write docs/benchmarks.md [--part NAME]] [--afunix 'CMD']

NAMES are scenarios or beginnings of their names (`lines`, `bulk-pipe`); without any, all. Progress goes to
STDERR. This file knows the order of things; what is measured stands in scenarios.py, who in contenders.py.
"""

from __future__ import annotations

import argparse
import compileall
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

sys.path.insert(
    0, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
)  # run as a file, it is no package

from bench import bulk, document, report, workplace
from bench.contenders import Contender, Role
from bench.measure import MeasurementError
from bench.results import Row, Table
from bench.scenarios import SCENARIOS, Scenario
from bench.workplace import Workplace

_QUICK_SCALE = 1 / 8
_ROUNDS = 5
_NEEDED_BYTES = 2 * bulk.FULL_BYTES + (512 << 20)


def default_afunix() -> str:
    """The `afunix` beside this Python, else the module."""
    beside = os.path.join(os.path.dirname(sys.executable), "afunix")
    return shlex.quote(beside) if os.access(beside, os.X_OK) else f"{shlex.quote(sys.executable)} -m afunix"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description="Measure afunix and its peers in one run."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios, or beginnings of their names")
    parser.add_argument("--list", action="store_true", help="print the scenarios and end")
    parser.add_argument("--quick", action="store_true", help="an eighth of the work, one round")
    parser.add_argument("--repeat", type=int, metavar="N", help=f"rounds (default {_ROUNDS}, 1 with --quick)")
    parser.add_argument("--write", metavar="FILE", help="write the report there too")
    parser.add_argument("--part", choices=list(report.PARTS), help="write NAMES there as this part alone")
    parser.add_argument("--afunix", default=default_afunix(), metavar="CMD", help="how to run afunix")
    given = parser.parse_args(argv)
    if given.write and bool(given.names) != bool(given.part):
        parser.error("--write replaces the whole report without NAMES, or with them one --part of it")
    for name in given.names:
        if not _chosen([name]):
            parser.error(
                f"no scenario begins with '{name}', expected one of {', '.join(s.name for s in SCENARIOS)}"
            )
    return given


def _chosen(names: Sequence[str]) -> list[Scenario]:
    exact = {scenario.name for scenario in SCENARIOS} & set(names)
    return [
        scenario
        for scenario in SCENARIOS
        if not names
        or scenario.name in exact
        or any(scenario.name.startswith(name) for name in names if name not in exact)
    ]


def _runs(command: str) -> bool:
    argv = [*shlex.split(command), "--version"]
    return (
        shutil.which(argv[0]) is not None
        and not subprocess.run(argv, capture_output=True, check=False).returncode
    )


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _measure(work: Workplace, scenario: Scenario, repeat: int, absent: dict[Role, str]) -> Table:
    """All rounds of a scenario, the contenders in turn. Who fails once is not asked again."""
    table = {c.name: Row(reason=absent.get(c.role, "") or c.absence()) for c in scenario.contenders}
    for number in range(repeat):
        for contender in scenario.contenders:
            if not table[contender.name].reason:
                _sample(work, scenario, contender, table[contender.name], first=number == 0)
    return table


def _sample(work: Workplace, scenario: Scenario, contender: Contender, row: Row, *, first: bool) -> None:
    started = time.monotonic()
    try:
        if first and scenario.verify is not None:
            row.samples.append(scenario.verify(work, contender))
        sample = scenario.measure(work, contender)
    except MeasurementError as error:
        row.reason = "failed: " + str(error).replace(work.directory, "…")
        say(f"{scenario.name}: {contender.name}: {row.reason}")
        return
    row.samples.append(sample)
    figures = ", ".join(f"{key} {value:.4g}" for key, value in sample.items())
    say(f"{scenario.name}: {contender.name}: {figures} ({time.monotonic() - started:.1f} s)")


def raise_descriptor_limit() -> None:
    """As many descriptors as we may have, for our children too: some scenarios need ten thousand."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _compile_as_an_installer_does() -> None:
    """A checkout may have no bytecode, and never gets any with PYTHONDONTWRITEBYTECODE: that would be timed too."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    compileall.compile_dir(os.path.join(root, "src"), quiet=2)


def main(argv: Sequence[str] | None = None) -> int:
    given = _arguments(argv)
    if given.list:
        print("\n".join(f"{scenario.name:18} {scenario.title}" for scenario in SCENARIOS))
        return 0
    if shutil.which("cc") is None:
        say("bench: error: no 'cc' on the PATH, and the yardsticks in bench/c have to be compiled")
        say("bench: hint: install a C compiler (on Debian the package 'gcc')")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is ended
    raise_descriptor_limit()
    scale = _QUICK_SCALE if given.quick else 1.0
    repeat = given.repeat or (1 if given.quick else _ROUNDS)
    _compile_as_an_installer_does()
    absent = {} if _runs(given.afunix) else {Role.OURS: "does not run here"}
    storage = (
        "memory (tmpfs)" if workplace.memory_directory(int(_NEEDED_BYTES * scale)) else "a directory on disk"
    )
    with workplace.open_workplace(given.afunix, scale, _NEEDED_BYTES) as work:
        measured = [(s, _measure(work, s, repeat, absent)) for s in _chosen(given.names)]
    text = "\n".join(
        (
            report.part_preface(given.part, repeat) if given.part else report.preface(repeat, scale, storage),
            report.goals(measured),
            *(report.scenario_table(scenario, table) for scenario, table in measured),
        )
    )
    print(text, end="")
    if given.write:
        if given.part:
            document.write_part(given.write, given.part, text.replace("\n## ", "\n### "))
        else:
            document.write_command_part(given.write, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
