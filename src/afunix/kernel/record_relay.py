"""A pump from records to records: each arrives as it was sent, whole, in order, with its descriptors if they travel.

For seqpacket, and for the connected datagram sockets that stand for one sender. A record that the sink does not take
for its length (EMSGSIZE) ends the pump with that error: to cut it or to leave it out would be a lie. See `pump`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from .channel import Channel
from .pump import Wants

_SHARE_RECORDS = 256


class RecordRelay:
    """One direction from `source` to `sink`, which stay their owners'. `make_room(sink, size)` may grow its buffer."""

    def __init__(
        self,
        source: Channel,
        sink: Channel,
        at_end: Callable[[], None],
        *,
        make_room: Callable[[Channel, int], bool] = lambda sink, size: False,
    ) -> None:
        self._source = source
        self._sink = sink
        self._at_end = at_end
        self._make_room = make_room
        self._record: bytes | None = None
        self.moved = 0
        self.records = 0
        self.source_error: OSError | None = None
        self.sink_error: OSError | None = None
        self.is_finished = False

    @property
    def held(self) -> int:
        return len(self._record or b"")

    def step(self) -> Wants:
        """Move what can be moved now, at most _SHARE_RECORDS. After NOTHING look at the two errors."""
        wants = Wants.NOTHING if self.is_finished else None
        for _ in range(_SHARE_RECORDS):
            if wants is not None:
                return wants
            wants = self._advance()
        return wants or Wants.TURN

    def _advance(self) -> Wants | None:
        if self._record is None:
            return self._pull()
        return self._push(self._record)

    def _pull(self) -> Wants | None:
        try:
            record = self._source.try_receive_record()
        except OSError as error:
            self.source_error = error
            return self._finish()
        if self._source.receive_ended:
            self._at_end()
            return self._finish()
        if record is None:
            return Wants.SOURCE
        self._record = record
        return None

    def _push(self, record: bytes) -> Wants | None:
        try:
            is_sent = self._sink.try_send_record(record)
        except OSError as error:
            if error.errno == errno.EMSGSIZE and self._make_room(self._sink, len(record)):
                return None
            self.sink_error = error
            return self._finish()
        if not is_sent:
            return Wants.SINK
        self.moved += len(record)
        self.records += 1
        self._record = None
        return None

    def _finish(self) -> Wants:
        self.is_finished = True
        return Wants.NOTHING

    def close(self) -> None:
        """Finish, wherever it stands; idempotent."""
        self._finish()
