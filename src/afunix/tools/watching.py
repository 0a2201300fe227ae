"""Who is told of everything that a relay does, and has a say at its stop: what `tap` adds to `relay_service`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Protocol

from ..kernel.channel import Channel
from ..kernel.relay_pumps import Watch
from ..model.tapped import Side
from ..streams.duplex import Duplex


class Watching(Protocol):
    """Who is told of everything, and serves instead of another (`tap`). What it does may not raise."""

    def opened(self, near: Channel) -> None:
        """A client was accepted."""

    def watch(self, near: Channel) -> Watch:
        """Its connection is there; who is to be told what goes through?"""

    def over(self, near: Channel, reason: Exception | None, side: Side | None = None) -> None:
        """It has ended, or had no connection; both ends are still open. `side` is whose end broke with `reason`."""

    def before_stop(self, stop: Callable[[], None]) -> None:
        """Clients can still connect; from `stop()` on they cannot."""

    def may_stop_now(self) -> bool:
        """Somebody cannot wait for that `stop()`. False: clients are to be able to connect, and others serve them."""


def break_of(duplex: Duplex) -> tuple[OSError | None, Side | None]:
    """What broke a pair that is over, whose ends are still open, and whose end it was; (None, None): nothing.

    An end that has said all is not read any more: what became of it since, its socket is asked.
    """
    ends = ((Side.CLIENT, duplex.near, duplex.near_error), (Side.SERVER, duplex.far, duplex.far_error))
    for side, _, error in ends:
        if error is not None:
            return error, side
    for side, channel, _ in ends:
        number = channel.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            return OSError(number, os.strerror(number)), side
    return None, None
