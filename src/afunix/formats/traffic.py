"""How much goes through a relay, in words: totals, rates, and the line that shows them while it runs. Pure."""

from __future__ import annotations

from typing import NamedTuple

from ..model.counting import counted

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Sample(NamedTuple):
    """A look at a relay: bytes from clients (`up`) and to them (`down`) so far, and how many are connected at `time`."""

    time: float
    connected: int
    up: int
    down: int


def show_bytes(count: float) -> str:
    """`812 B`, `1.2 KiB`, `34 MiB`: three figures at most before the next unit."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    digits = 1 if unit and count < 9.95 else 0
    return f"{count:.{digits}f} {_UNITS[unit]}"


def show_live(before: Sample, now: Sample) -> str:
    """`2 connected   up 1.2 MiB/s (34 MiB)   down 0 B/s (812 B)`: rates since the look `before`, and totals."""
    seconds = now.time - before.time
    directions = (("up", before.up, now.up), ("down", before.down, now.down))
    shown = (
        f"{word} {_rate(late - early, seconds)} ({show_bytes(late)})" for word, early, late in directions
    )
    return "   ".join((f"{now.connected} connected", *shown))


def show_totals(served: int, up: int, down: int) -> str:
    """`3 clients: 34 MiB up, 812 B down`."""
    return f"{counted(served, 'client')}: {show_bytes(up)} up, {show_bytes(down)} down"


def _rate(count: int, seconds: float) -> str:
    return f"{show_bytes(count / seconds if seconds > 0 else 0)}/s"
