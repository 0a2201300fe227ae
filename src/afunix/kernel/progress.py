"""How long a send may still go without progress: what `send_timeout` is measured by.

Progress is bytes that went, and nothing else: not that the socket is said to be ready, which it may be while every call
answers EAGAIN. Knows no clock; a face that waits says what time it is.
"""

from __future__ import annotations

from .channel import Channel
from .steps import NoProgressError


class Progress:
    """Of one send, from its first wait for room on."""

    __slots__ = ("_channel", "_seen", "_since")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._seen = -1
        self._since = 0.0

    def seconds_left(self, limit_s: float, now: float) -> float:
        """How long it may wait now: `limit_s` from the moment at which it was seen last that bytes had gone.

        Raises:
            NoProgressError: it has waited as long, and none went.
        """
        sent = self._channel.bytes_sent
        if sent != self._seen:
            self._seen = sent
            self._since = now
            return limit_s
        left = self._since + limit_s - now
        if left <= 0:
            raise NoProgressError
        return left
