"""Who is told of everything that a relay does, and has a say at its stop: what `tap` adds to `relay_service`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..kernel.channel import Channel
from ..kernel.relay_pumps import Watch


class Watching(Protocol):
    """Who is told of everything, and serves instead of another (`tap`). What it does may not raise."""

    def opened(self, near: Channel) -> None:
        """A client was accepted."""

    def watch(self, near: Channel) -> Watch:
        """Its connection is there; who is to be told what goes through?"""

    def over(self, near: Channel, reason: Exception | None) -> None:
        """It has ended, or had no connection; both ends are still open."""

    def before_stop(self, stop: Callable[[], None]) -> None:
        """Clients can still connect; from `stop()` on they cannot."""
