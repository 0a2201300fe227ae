"""The contract of a far end: how a relay gets a connection for a client.

An endpoint only connects. What it returns is a Channel on a socket of its own, non-blocking, which the caller owns
from then on, whatever is behind it: a Unix socket, TCP, or (through a pair of sockets) a connection over ssh.
"""

from __future__ import annotations

from typing import Protocol

from ..kernel.channel import Channel


class Endpoint(Protocol):
    """Where connections go. One object serves all clients, at the same time."""

    refuses_fds: bool
    """Can nobody send descriptors to the sockets that it makes?"""

    def connect_now(self, near: Channel) -> Channel | None:
        """A connection for the client `near`, if it can be had without waiting; None: `connect` has to wait for it.

        Raises:
            AfunixError: there is none to be had.
        """

    async def connect(self, near: Channel) -> Channel:
        """The same, waiting as long as the endpoint was told to. Cancelled, it leaves nothing open.

        Raises:
            AfunixError: why not.
        """

    @property
    def bytes_lost(self) -> int:
        """What came through here, and was not handed on because we ended; all of it is known after `close`. What is lost
        in a Channel is its owner's to count.
        """

    def close(self) -> None:
        """Give up what is shared by all connections (a login); idempotent."""
