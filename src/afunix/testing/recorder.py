"""An observer that keeps what it is told, and waits for what it was not told yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, overload

from ..model.errors import TimedOutError
from ..model.events import Event
from ..model.patience import show_seconds

E = TypeVar("E", bound=Event)

PATIENCE_S = 5.0
"""Longer than what a test waits for takes on a busy machine."""


class Recorder:
    """Give it as `observer=` to `serve`, `listen`, `connect` or `pair`; `events` are in the order in which they happened.

        recorder = Recorder()
        async with serve(handle, path, observer=recorder):
            ...
            closed = await recorder.wait_for(Closed)
        assert recorder.of(HandlerFailed) == []

    It may be told from any thread; `repr` shows an event a line.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        for loop, news in [*self._waiters]:
            loop.call_soon_threadsafe(news.set)

    def of(self, kind: type[E]) -> list[E]:
        """The events of this type."""
        return [event for event in self.events if isinstance(event, kind)]

    def clear(self) -> None:
        """Forget what happened."""
        self.events.clear()

    @overload
    async def wait_for(self, wanted: type[E], *, count: int = 1, timeout: float = PATIENCE_S) -> E: ...

    @overload
    async def wait_for(
        self, wanted: Callable[[Event], bool], *, count: int = 1, timeout: float = PATIENCE_S
    ) -> Event: ...

    async def wait_for(
        self, wanted: type[Event] | Callable[[Event], bool], *, count: int = 1, timeout: float = PATIENCE_S
    ) -> Event:
        """The `count`-th event of a type, or for which a function is true; one that was recorded already will do.

        Raises:
            TimedOutError: it does not come within `timeout` seconds; what came instead is in the message.
        """
        news = asyncio.Event()
        waiter = (asyncio.get_running_loop(), news)
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    found = self._find(wanted, count)
                    if found is not None:
                        return found
                    news.clear()
                    await news.wait()
        except TimeoutError:
            name = getattr(wanted, "__name__", repr(wanted))
            times = "" if count == 1 else f" {count} times"
            raise TimedOutError(
                f"{name} did not happen{times} within {show_seconds(timeout)}; recorded: {self!r}"
            ) from None
        finally:
            self._waiters.discard(waiter)

    def _find(self, wanted: type[Event] | Callable[[Event], bool], count: int) -> Event | None:
        def is_wanted(event: Event) -> bool:
            return isinstance(event, wanted) if isinstance(wanted, type) else bool(wanted(event))

        found = [event for event in self.events if is_wanted(event)]
        return found[count - 1] if len(found) >= count else None

    def __repr__(self) -> str:
        lines = [f"\n  {number:3} {event!r}" for number, event in enumerate(self.events, 1)]
        return f"<Recorder: {len(self.events)} events>" + "".join(lines)
