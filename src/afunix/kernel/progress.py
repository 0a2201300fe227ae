"""How long a send may still go without progress: what `send_timeout` is measured by.

Progress is bytes that went, or that the peer has read, and nothing else: not that the socket is said to be ready, which
it may be while every call answers EAGAIN; and it is not said to be until most of the queue has been read. Knows no
clock; a face that waits says what time it is.
"""

from __future__ import annotations

from .channel import Channel
from .steps import NoProgressError

_LOOKS = 8
"""In the time without progress, which nobody tells of: what has stopped is found so much of it late, and never early."""


class Progress:
    """Of one send, from its first wait for room on."""

    __slots__ = ("_channel", "_sent", "_since", "_unread")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sent = -1
        self._unread = 0
        self._since = 0.0

    def seconds_left(self, limit_s: float, now: float) -> float:
        """How long it may wait before this is asked again: a part of `limit_s`, which is counted from the moment at
        which progress was seen last.

        Raises:
            NoProgressError: it has waited as long, and there was none.
        """
        channel = self._channel
        before, self._sent = self._sent, channel.bytes_sent
        queued, self._unread = self._unread, channel.unread_by_peer()
        if self._sent != before or self._unread < queued:
            self._since = now
        left = self._since + limit_s - now
        if left <= 0:
            raise NoProgressError
        return min(left, limit_s / _LOOKS)
