"""The live line of `relay`: rates and totals at the foot of the terminal that STDERR is, again and again.

Not with -q, not in a trace, and not while we are in the background: the terminal is somebody else's then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from ..formats.traffic import Sample, show_live
from . import messages


class Live:
    """Shows one Sample after the other. Whatever is said meanwhile comes above it (`messages.show_status`)."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        show: Callable[[str], None] = messages.show_status,
    ) -> None:
        self._clock = clock
        self._show = show
        self._last: Sample | None = None

    def look(self, connected: int, up: int, down: int) -> None:
        """So many pairs are connected, and have moved so many bytes in all."""
        now = Sample(self._clock(), connected, up, down)
        before, self._last = self._last or now, now
        self._show(show_live(before, now) if _is_ours() else "")

    def close(self) -> None:
        """Leave the terminal's last line empty."""
        self._show("")


def is_possible() -> bool:
    """Is STDERR a terminal that can take a line back?"""
    return os.isatty(2) and os.environ.get("TERM") != "dumb"


def _is_ours() -> bool:
    """Are we in the foreground of the terminal? Of one that is not ours at all nothing is known."""
    try:
        return os.tcgetpgrp(2) == os.getpgrp()
    except OSError:
        return True
