"""A pump from records to records: each arrives as it was sent, whole, in order, with its descriptors if they travel.

For seqpacket. A record that the sink does not take for its length (EMSGSIZE) ends the pump with that error, and so do
descriptors that are not to be passed on: to cut it or to leave something out would be a lie. See `pump`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from ..model.errors import TruncatedError
from .ancillary import MAX_FDS
from .channel import Channel
from .descriptor_pump import Passed
from .descriptor_refusal import explain_refused, refusal
from .pump import Wants

_SHARE_RECORDS = 256


class RecordRelay:
    """One direction from `source` to `sink`, which stay their owners'. `make_room(sink, size)` may grow its buffer.

    With `passes_fds` descriptors go on with their record, and `descriptors` counts them. `passed(record, fds)` is told
    what the sink has taken, while the descriptors are open.
    """

    def __init__(
        self,
        source: Channel,
        sink: Channel,
        at_end: Callable[[], None],
        *,
        passes_fds: bool = False,
        make_room: Callable[[Channel, int], bool] = lambda sink, size: False,
        passed: Passed | None = None,
    ) -> None:
        self._passed = passed
        self._source = source
        self._sink = sink
        self._at_end = at_end
        self._passes_fds = passes_fds
        self._make_room = make_room
        self._record: bytes | None = None
        self._fds: list[int] = []
        self.descriptors = 0
        self.moved = 0
        self.records = 0
        self.source_error: OSError | None = None
        self.sink_error: OSError | None = None
        self.is_finished = False

    @property
    def held(self) -> int:
        return len(self._record or b"")

    def pass_on(self) -> bool:
        """There is no shorter way than `step` (`Pump.pass_on`)."""
        return False

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
            record = self._receive()
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

    def _receive(self) -> bytes | None:
        if not self._passes_fds:
            record = self._source.try_receive_record()
            error = refusal(self._source)
            if error is not None:
                raise error
            return record
        try:
            taken = self._source.try_receive_record_fds(MAX_FDS)
        except TruncatedError as error:
            raise OSError(errno.EMFILE, str(error)) from None
        if taken is None:
            return None
        record, self._fds = taken
        return record

    def _push(self, record: bytes) -> Wants | None:
        try:
            is_sent = self._send(record)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                if self._make_room(self._sink, len(record)):
                    return None
                error = self._too_long(record)
            self.sink_error = explain_refused(error, len(self._fds))
            return self._finish()
        if not is_sent:
            return Wants.SINK
        if self._passed is not None:
            self._passed(record, self._fds)
        self.moved += len(record)
        self.records += 1
        self.descriptors += len(self._fds)
        self._record = None
        self._close_descriptors()
        return None

    def _send(self, record: bytes) -> bool:
        if self._fds:
            return self._sink.try_send_record_fds(record, self._fds)
        return self._sink.try_send_record(record)

    def _too_long(self, record: bytes) -> OSError:
        limit = self._sink.max_record_bytes()
        return OSError(
            errno.EMSGSIZE,
            f"a record of {len(record)} bytes came, and at most {limit} can be passed on (EMSGSIZE)",
        )

    def _close_descriptors(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def _finish(self) -> Wants:
        self.is_finished = True
        self._close_descriptors()
        return Wants.NOTHING

    def close(self) -> None:
        """Finish, wherever it stands; descriptors that were not passed on are closed. Idempotent."""
        self._finish()
