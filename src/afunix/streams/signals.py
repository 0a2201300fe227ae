"""Signals as calls on the loop. One that was ignored at start (nohup) stays ignored: its sender knows why."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ..model.errors import WrongLoopError
from ..model.escaping import quote


def watch_signals(
    loop: asyncio.AbstractEventLoop,
    numbers: Iterable[signal.Signals],
    on_signal: Callable[[signal.Signals], None],
) -> None:
    """Call `on_signal(number)` for each that comes, from the main thread's loop, until the loop is closed."""
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, on_signal, number)


@contextmanager
def signals_watched(
    loop: asyncio.AbstractEventLoop,
    numbers: Iterable[signal.Signals],
    on_signal: Callable[[signal.Signals], None],
) -> Iterator[None]:
    """The same for the length of a `with`; afterwards the handlers are those that were there before.

    One that was set with `loop.add_signal_handler` is lost: nobody can ask for it.

    Raises:
        WrongLoopError: not in the main thread, the only one that Python tells of signals.
        TypeError, ValueError, RuntimeError: no signals, or such as cannot be caught.
    """
    wanted = [_signal_of(number) for number in numbers]
    if threading.current_thread() is not threading.main_thread():
        name = quote(threading.current_thread().name)
        raise WrongLoopError(
            f"this event loop runs in the thread {name}, expected the main thread: no other one learns of signals",
            hint="wait for the signal in the main thread, and let it call drain() and aclose() in this loop",
        )
    before = {number: signal.getsignal(number) for number in wanted}
    try:
        watch_signals(loop, before, on_signal)
        yield
    finally:
        for number, handler in before.items():
            if loop.remove_signal_handler(number) and handler is not None:
                signal.signal(
                    number, handler
                )  # None: it was not set from Python, and cannot be set from there


def _signal_of(number: signal.Signals) -> signal.Signals:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"a signal is {type(number).__name__}, expected one such as signal.SIGTERM")
    return signal.Signals(number)
