"""What is measured of the library: one entry for each kind of work, with its contenders and what to reach.

All figures count down: less is better. A goal is that afunix's figure is at most a factor of another's under
the same Python in the same run, or at most a bound. This file holds no measuring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.library import contenders, sampling
from bench.library.contenders import Contender
from bench.library.sampling import Measure

CLIENTS, FEW_CLIENTS = 64, 8
SMALL_BYTES, LARGE_BYTES = 64, 256 << 10


@dataclass(frozen=True, slots=True)
class Goal:
    """`at_most` times the figure of `against`; without `against`, `at_most` itself."""

    words: str
    at_most: float
    against: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """A table of the report: `key` is the figure that counts, told in `unit`."""

    name: str
    title: str
    unit: str
    key: str
    decimals: int
    contenders: Sequence[Contender]
    measure: Measure
    goals: Sequence[Goal] = ()


def _times(factor: float, against: str) -> Goal:
    return Goal(f"≤ {factor:g} × {against}", factor, against)


SHAPES = (
    Shape(
        "echo",
        f"{SMALL_BYTES}-byte echo, {CLIENTS} connections kept open",
        "server CPU, µs a round trip",
        "cpu_us",
        2,
        contenders.SERVERS,
        sampling.echo(CLIENTS, SMALL_BYTES),
        (_times(0.75, contenders.UVLOOP_STREAMS), _times(0.5, contenders.ANYIO)),
    ),
    Shape(
        "short",
        f"accept, {SMALL_BYTES} bytes, close; {CLIENTS} at a time",
        "server CPU, µs a connection",
        "cpu_us",
        1,
        contenders.SERVERS,
        sampling.short(CLIENTS, SMALL_BYTES),
        (_times(1.0, contenders.UVLOOP_PROTOCOL), _times(0.35, contenders.ASYNCIO_STREAMS)),
    ),
    *(
        Shape(
            f"large-{clients}",
            f"{LARGE_BYTES >> 10} KiB echo, {clients} connections kept open",
            "server CPU, µs a round trip",
            "cpu_us",
            0,
            contenders.SERVERS,
            sampling.echo(clients, LARGE_BYTES),
            (_times(0.5, contenders.ASYNCIO_STREAMS),),
        )
        for clients in (CLIENTS, FEW_CLIENTS)
    ),
    Shape(
        "descriptor",
        "one descriptor sent, received and closed, over a pair",
        "CPU of both ends, µs",
        "cpu_us",
        2,
        contenders.PASSERS,
        sampling.passing,
        (_times(2.0, contenders.SEND_FDS),),
    ),
    Shape(
        "memory",
        f"{sampling.CROWD:,} connected streams, a handler waiting for bytes on each",
        "KiB of the server's memory for each",
        "kib_each",
        2,
        contenders.SERVERS,
        sampling.memory,
        (Goal("≤ 6 KiB each", 6.0),),
    ),
    Shape(
        "import",
        "`import` in a new interpreter",
        "ms",
        "ms",
        1,
        contenders.IMPORTS,
        sampling.importing,
        (Goal("≤ 5 ms", 5.0),),
    ),
)
