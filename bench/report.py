"""The report as Markdown: what the machine is, which goals are reached, and a table for each scenario.

Words only, no measuring. Nothing in it names the machine, a person or a path.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from bench.contenders import Contender
from bench.results import Table, Verdict, advantage, best_of, judge
from bench.scenarios import Column, Scenario

PREFACE = """\
# Benchmarks

`python bench/run.py --write docs/benchmarks.md` measured this: afunix, the programs that people use for the
same work today, and C programs that do one thing each as cheaply as the kernel lets them (`bench/c`), all in
one run. Run it on your machine: it takes a C compiler, whichever peers are installed, and a quarter of an
hour (`--quick`: a minute).

**How.** For every sample a contender's server is started anew and waited for by connecting. The contenders
take turns (A B C, A B C), so that a noisy minute hurts all of them; a figure is the median of {rounds},
the range beside it the smallest and the largest. Speed counts from the connection to the last byte
out of STDOUT, which a C program empties by splice, or, through a relay, to the last byte that a C program
behind it has taken; the client's start-up is a row of its own. Input files lie in {storage}. CPU is what all
of a server's processes used between ready and done (a relay's alone, where there is one), children included,
in ticks of 10 ms; memory is the sum of their proportional set sizes. Lines are checked in a pass of their
own, in which every line carries its client and its number.

**Read ratios, not absolutes.** `× best peer` and `× limit` say how many times better a contender is than the
best peer (row in italics) and than the C program named as the limit, in the same run. A slow contender is
given less of the same work.
{quick}
**The machine.** {machine}. Peers: {peers}.
"""
PARTS = {
    "looking": ("Looking: ls and check", "list check"),
    "relay": ("Between: relay", "relay"),
    "tap": ("Looking inside: tap", "tap"),
    "exec": ("A command for each client: serve --exec", "exec"),
}
"""Parts of the document that are measured by themselves: the title, and the scenarios."""

_PART_PREFACE = """\
## {title}

`python bench/run.py {names} --write docs/benchmarks.md --part {part}` measured this, in a run of its own with the
peers; a figure is the median of {rounds}. {machine}.
"""

_QUICK = "\nThis was a quick run: {part} of the bytes, messages and connections. Its figures are rough.\n"


def machine() -> str:
    """Cores, memory, kernel and Python, in words."""
    return f"{hardware()}, Python {platform.python_version()}"


def hardware() -> str:
    """Cores, memory and kernel, in words."""
    release = ".".join(platform.release().split(".")[:2])
    gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return f"{len(os.sched_getaffinity(0))} cores ({_processor()}), {gib:.0f} GiB of memory, Linux {release}"


def _processor() -> str:
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def part_preface(part: str, repeat: int) -> str:
    """How a part by itself was measured."""
    title, names = PARTS[part]
    rounds = f"{repeat} rounds" if repeat > 1 else "one round"
    return _PART_PREFACE.format(title=title, names=names, part=part, rounds=rounds, machine=machine())


_VERSIONS = (
    ("socat", "socat -V", r"socat version (\S+)"),
    ("nc (OpenBSD)", "nc -h", r"patchlevel (\d[^)\s]*)"),
    ("ncat", "ncat --version", r"Version (\S+)"),
    ("systemd", "systemctl --version", r"systemd (\S+)"),
    ("Redis", "redis-server --version", r"v=(\S+)"),
    ("PostgreSQL", "psql --version", r"PostgreSQL\) (\S+)"),
    ("s6", "dpkg-query -W -f ${Version} s6", r"^(\d[\d.]*)"),
    ("ucspi-unix", "dpkg-query -W -f ${Version} ucspi-unix", r"^(\d[\d.]*)"),
)


def peer_versions() -> str:
    """The peers that are installed, with the versions they tell."""
    found = []
    for name, command, pattern in _VERSIONS:
        argv = command.split(" ")
        if shutil.which(argv[0]):
            run = subprocess.run(argv, capture_output=True, text=True, check=False)
            match = re.search(pattern, run.stdout + run.stderr)
            found += [f"{name} {match[1]}"] if match else []
    return ", ".join(found) or "none"


def preface(repeat: int, scale: float, storage: str) -> str:
    rounds = f"{repeat} round{'s' if repeat > 1 else ''}"
    quick = _QUICK.format(part=f"1/{round(1 / scale)}") if scale < 1 else ""
    return PREFACE.format(
        rounds=rounds, storage=storage, quick=quick, machine=machine(), peers=peer_versions()
    )


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: int) -> str:
    rule = ["---" if i < len(headings) - numbers else "---:" for i in range(len(headings))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (headings, rule, *rows))


def goals(measured: Sequence[tuple[Scenario, Table]]) -> str:
    """All goals with their verdicts."""
    rows = []
    for scenario, table in measured:
        title = scenario.title
        for goal in scenario.goals:
            verdict = judge(scenario, table, goal)
            rows.append((title, goal.words, verdict.measured, _word(verdict)))
            title = ""
    return "## Goals\n\n" + markdown_table(("work", "goal", "measured", ""), rows, 0) + "\n"


def _word(verdict: Verdict) -> str:
    return "–" if verdict.reached is None else "PASS" if verdict.reached else "**miss**"


def scenario_table(scenario: Scenario, table: Table) -> str:
    """One scenario's figures."""
    main = scenario.columns[0]
    best = best_of(scenario, table, main, ())
    limit = best_of(scenario, table, main, (scenario.limit,))
    headings = [
        "",
        main.heading,
        "range",
        "× best peer",
        "× limit",
        *(c.heading for c in scenario.columns[1:]),
    ]
    rows = [_row(scenario, table, contender, best, limit) for contender in scenario.contenders]
    figures = markdown_table(headings, rows, len(headings) - 1)
    return f"## {scenario.title}\n\n{figures}\n\n`{scenario.name}`; limit: {scenario.limit}\n"


def _row(
    scenario: Scenario,
    table: Table,
    contender: Contender,
    best: tuple[str, float] | None,
    limit: tuple[str, float] | None,
) -> list[str]:
    row, main = table[contender.name], scenario.columns[0]
    name = contender.name.replace("|", "\\|")
    if best is not None and contender.name == best[0]:
        name = f"*{name}*"
    figure, spread = row.figure(main.key), row.spread(main.key)
    if figure is None or spread is None:
        return [name, row.reason, *[""] * (len(scenario.columns) + 2)]
    ratios = [f"{advantage(main, figure, other[1]):.2f}" if other else "" for other in (best, limit)]
    between = f"{_shown(main, spread[0])}–{_shown(main, spread[1])}"
    return [
        name,
        _shown(main, figure),
        between,
        *ratios,
        *(_shown(c, row.figure(c.key)) for c in scenario.columns[1:]),
    ]


def _shown(column: Column, figure: float | None) -> str:
    return "" if figure is None else f"{figure:,.{column.decimals}f}"
