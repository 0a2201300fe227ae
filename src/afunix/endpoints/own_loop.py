"""An event loop in a daemon's thread of its own, for what is spoken to other hosts: encryption holds up nobody's bytes,
and who has no loop yet, or none any more, can wait for an answer.

Signals are the main thread's. They are blocked while a run begins; one that comes then ends the wait.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent import futures
from typing import Any, TypeVar

from ..model.errors import AfunixError

T = TypeVar("T")


class Interrupted(AfunixError):
    """A stop signal is pending, so that nothing is waited for any more. It still is when this is raised."""


_LOOK_EVERY_S = 0.1
_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_JOIN_S = 2.0


class OwnLoop:
    """`loop` runs from the start until `close()`."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(_cancel_all())
        finally:
            self.loop.close()

    def call(self, function: Callable[..., object], *args: Any) -> bool:
        """Let the loop call it; False: it is closed."""
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            return False
        return True

    def wait(self, coroutine: Coroutine[Any, Any, T], limit_s: float | None = None) -> T:
        """What `coroutine` returns, waited for in this thread.

        Raises:
            Interrupted: a stop signal is pending. TimeoutError: `limit_s` seconds are over. What the coroutine raises.
        """
        if self.loop.is_closed():
            coroutine.close()
            raise AfunixError("the ssh connection is closed")
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        waited_s = 0.0
        while not futures.wait([future], _LOOK_EVERY_S).done:
            waited_s += _LOOK_EVERY_S
            if limit_s is None and _is_to_stop():
                future.cancel()
                raise Interrupted("interrupted")
            if limit_s is not None and waited_s >= limit_s:
                future.cancel()
                raise TimeoutError
        return future.result()

    def close(self) -> None:
        """Cancel what is under way, and end; idempotent. Waits for it, but not long."""
        if self.call(self.loop.stop):
            self._thread.join(_JOIN_S)


def _is_to_stop() -> bool:
    """Linux keeps a signal that is ignored (nohup) pending while it is blocked."""
    return any(
        signal.getsignal(number) is not signal.SIG_IGN for number in signal.sigpending() & _STOP_SIGNALS
    )


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
