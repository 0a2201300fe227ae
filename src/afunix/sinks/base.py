"""The contract: what a server may ask of a sink, whatever becomes of the bytes there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..kernel.channel import Channel
from ..model.framing import PieceEnd
from ..streams.idle import Touched


class Sink(Protocol):
    """Takes channels, owns them until they are closed, and at the end says whether anything is left."""

    on_progress: Callable[[], None]
    """Called when an output that had stalled has taken everything that waited for it."""

    def on_channel(self, channel: Channel) -> None:
        """A client was admitted; the channel is the sink's from now on."""

    def connected(self) -> Iterable[Touched]:
        """The clients that are there, as the idle watch looks at them."""

    def drop(self, client: Any, end: PieceEnd) -> None:
        """End the conversation with one of `connected()`; what is held of it goes out."""

    def end_conversations(self) -> None:
        """Receive what was sent, and tell the clients that no more is taken (SHUT_RD)."""

    def drain(self) -> bool:
        """Do what can be done now; True if no client is left and nothing is on its way."""

    def bytes_written(self) -> int:
        """How much has gone out: if it stays the same, nothing moves."""

    def bytes_unwritten(self) -> int:
        """What would be lost if the process ended now."""

    def stalled_s(self) -> float:
        """Seconds in which the output took nothing, so that no client could be heard."""

    def close(self) -> None:
        """Close every channel, and watch nothing any more."""
