"""Telling the service manager, from an event loop, how we are: ready, at work, alive, stopping (sd_notify(3)).

READY=1 once, when clients can connect; STATUS= when something has changed, once a second at most, and nothing where
nothing changes; WATCHDOG=1 by the loop's timer, so that a stuck loop is seen; STOPPING=1 once. But for READY and
STOPPING nothing waits for a manager that does not read. Where there is none, all of it costs nothing. The words are
`model.service_status`'s, the protocol is `kernel.activation`'s.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Sequence

from ..kernel import activation
from ..model.service_status import Crowd, describe_listening, describe_stopping

STATUS_EVERY_S = 1.0
"""A busy service would otherwise keep its manager busy too."""

_AGAIN = 0.1
"""A keep-alive that did not get through is sent again after this part of the interval."""


class ServiceManager:
    """What one run tells its manager: where it listens, and who is there, for which `crowd()` is asked.

    Raises:
        AddressError: WATCHDOG_USEC or WATCHDOG_PID make no sense. Whoever wants to know before anything is bound asks
            `activation.watchdog()`.
    """

    def __init__(
        self, loop: AbstractEventLoop, addresses: Sequence[str], crowd: Callable[[], Crowd | None]
    ) -> None:
        self._loop = loop
        self._addresses = addresses
        self._crowd = crowd
        self._deadline_s = activation.watchdog()
        self._pulse: Pulse | None = None
        self._is_ready = False
        self._stopping = ""
        self._told = ""
        self._told_at = 0.0
        self._timer: TimerHandle | None = None
        self.is_there = activation.has_manager()
        """Is there anybody to tell? If not, nobody need say what has `changed`."""

    def ready(self) -> None:
        """Clients can connect. From now on the manager hears what has changed, and that we live."""
        activation.notify("READY=1")
        self._is_ready = True
        if self._deadline_s is not None:
            self._pulse = Pulse(self._loop, self._deadline_s / 2)
        self._tell()

    def changed(self) -> None:
        """Somebody has come or gone."""
        if self._timer is None and self._is_ready and self.is_there:
            wait_s = max(0.0, self._told_at + STATUS_EVERY_S - self._loop.time())
            self._timer = self._loop.call_later(wait_s, self._tell)

    def stopping(self, why: str) -> None:
        """We end, for which the first `why` is the reason; who is still there is told further on."""
        if not self._stopping:
            self._stopping = why
            activation.notify("STOPPING=1")
            self._tell()

    def close(self) -> None:
        """Say nothing more."""
        self._is_ready = False
        if self._pulse is not None:
            self._pulse.stop()
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self) -> None:
        self._cancel()
        if not (self._is_ready and self.is_there):
            return
        self._told_at = self._loop.time()
        words = self._describe()
        if words != self._told and activation.notify(f"STATUS={words}", patience=0):
            self._told = words

    def _describe(self) -> str:
        if self._stopping:
            return describe_stopping(self._stopping, self._crowd())
        return describe_listening(self._addresses, self._crowd())


class Pulse:
    """WATCHDOG=1 again and again, first at once, by the timer of a loop."""

    def __init__(self, loop: AbstractEventLoop, interval_s: float) -> None:
        self._loop = loop
        self._interval_s = interval_s
        self._timer: TimerHandle
        self._beat()

    def _beat(self) -> None:
        is_told = activation.notify("WATCHDOG=1", patience=0)
        self._timer = self._loop.call_later(self._interval_s * (1 if is_told else _AGAIN), self._beat)

    def stop(self) -> None:
        self._timer.cancel()
