"""The end of another process as a call on the loop, by a descriptor that names it (pidfd_open(2))."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial


def watch_process(
    loop: asyncio.AbstractEventLoop, pidfd: int, on_end: Callable[[], None]
) -> Callable[[], None]:
    """Call `on_end()` once the process has ended, until what is returned is called: that has to be before the caller
    closes `pidfd`, and does no harm twice.
    """

    def stop() -> None:
        loop.remove_reader(pidfd)

    def ended() -> None:
        stop()
        on_end()

    loop.add_reader(pidfd, ended)
    return stop


class ProcessEnds:
    """`on_end()` is called once for each of the processes `pids` when it ends, until `close`. One that is gone already,
    or that there is no descriptor left for, is passed over: who has to be sure looks for himself as well.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, pids: Iterable[int], on_end: Callable[[], None]
    ) -> None:
        self._on_end = on_end
        self._watched: dict[int, Callable[[], None]] = {}
        for pid in pids:
            with suppress(OSError):
                pidfd = os.pidfd_open(pid)
                self._watched[pidfd] = watch_process(loop, pidfd, partial(self._ended, pidfd))

    def _ended(self, pidfd: int) -> None:
        del self._watched[pidfd]
        os.close(pidfd)
        self._on_end()

    def close(self) -> None:
        """Idempotent."""
        while self._watched:
            pidfd, watch_no_more = self._watched.popitem()
            watch_no_more()
            os.close(pidfd)
