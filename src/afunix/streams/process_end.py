"""The end of another process as a call on the loop, by a descriptor that names it (pidfd_open(2))."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


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
