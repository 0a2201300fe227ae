"""What a task awaits until its stream can go on: one object for each direction, used again for every wait.

An asyncio task needs little of what it awaits (`get_loop`, `add_done_callback`, `cancel`, `result`). A Future does
more, is made anew for every wait, and wakes its task a turn of the loop later; this one wakes it in the very step in
which the descriptor is ready. Whatever a task calls in every wait is a C function where that can be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from itertools import repeat
from typing import Any

Callback = Callable[[Any], object]
"""Of a task: called with what it has waited for, whose `result()` it asks."""

_NO_CONTEXT = Context()
_nothing: Callable[[], None] = repeat(None).__next__


class Waiter:
    """Somebody may be waiting, at most one task at a time: then `callback` is set. Belongs to one loop and its thread.

    `context.run(callback, waiter)`, after `callback` was set to None, lets it go on: see `wake`. A task that was
    cancelled is still there until it has been told: meanwhile it cannot be woken, and nobody else can wait.
    """

    __slots__ = ("_asyncio_future_blocking", "_loop", "callback", "context", "get_loop", "result")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = True
        self._loop = loop
        self.callback: Callback | None = None
        self.context = _NO_CONTEXT
        self.get_loop = repeat(loop).__next__
        self.result = _nothing
        """What the wait comes to. That it was cancelled is said by a `_Cancellation`."""

    def wake(self) -> None:
        """Let the task that waits go on, now: only for callbacks of the loop, never from within a task."""
        callback = self.callback
        if callback is not None:
            self.callback = None
            self.context.run(callback, self)

    def wake_soon(self) -> None:
        """The same in the next turn of the loop; from within a task, too. A closed loop has none: nobody goes on."""
        callback = self.callback
        if callback is not None and callback is not _leave:
            self.callback = None
            if not self._loop.is_closed():
                self._loop.call_soon(callback, self, context=self.context)

    # What an asyncio.Task calls

    def __await__(self) -> Generator[Waiter, None, None]:
        yield self

    __iter__ = __await__

    def add_done_callback(self, callback: Callback, *, context: Context | None = None) -> None:
        self.callback = callback
        self.context = context or _NO_CONTEXT
        self._asyncio_future_blocking = True  # for the next wait: the task has just taken it back

    def remove_done_callback(self, callback: Callback) -> int:
        if self.callback != callback:
            return 0
        self.callback = None
        return 1

    def cancel(self, msg: Any = None) -> bool:
        """Let the task that waits go on with CancelledError, in the next turn; False if none waits."""
        callback = self.callback
        if callback is None or callback is _leave:
            return False
        self.callback = _leave
        self._loop.call_soon(callback, _Cancellation(self, msg), context=self.context)
        return True

    def done(self) -> bool:
        return self.callback is None or self.callback is _leave

    def cancelled(self) -> bool:
        return self.callback is _leave


class _Cancellation:
    """What a task that was cancelled is woken with: it alone hears of it, whoever waits by then."""

    __slots__ = ("_message", "_waiter")

    def __init__(self, waiter: Waiter, message: Any) -> None:
        self._waiter = waiter
        self._message = message

    def result(self) -> None:
        if self._waiter.callback is _leave:
            self._waiter.callback = None
        raise asyncio.CancelledError() if self._message is None else asyncio.CancelledError(self._message)


def _leave(waiter: Waiter) -> None:
    """Stands for the callback of a task that was cancelled: an event in the same turn finds it, and leaves it."""
    waiter.callback = _leave


def is_waiting(waiter: Waiter | None) -> bool:
    """Is a task waiting, or cancelled and not told so yet?"""
    return waiter is not None and waiter.callback is not None
