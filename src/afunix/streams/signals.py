"""Signals as calls on the loop. One that was ignored at start (nohup) stays ignored: its sender knows why."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable


def watch_signals(
    loop: asyncio.AbstractEventLoop,
    numbers: Iterable[signal.Signals],
    on_signal: Callable[[signal.Signals], None],
) -> None:
    """Call `on_signal(number)` for each that comes, from the main thread's loop, until the loop is closed."""
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, on_signal, number)
