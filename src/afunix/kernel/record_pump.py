"""Records in both directions, for `pump`'s drivers: a RecordPump for sending, FramedRecords for receiving.

A record is never cut and never joined: it leaves in one send, or it is held. What separates records in a
stream of bytes is `formats.records`'s rule, and comes in as functions.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from .channel import Channel
from .pump import Direction, Wants

_SHARE_RECORDS = 256
"""What one step sends at most, so that the other direction and the clock get their turn."""


class Splitter(Protocol):
    """Bytes to records; `held` bytes are waiting for the rest of theirs."""

    held: int

    def feed(self, data: bytes) -> list[bytes]: ...

    def finish(self) -> list[bytes]: ...

    def put_back(self, records: Iterable[bytes]) -> bytes: ...


class RecordPump(Direction):
    """One direction, bytes to records; the counterpart of `pump.Pump`, with the same answers and counters.

    `too_long` is the length of a record that the socket does not take (at least that: it may not be
    complete), after which the pump has finished.
    """

    def __init__(
        self,
        receive: Callable[[int], bytes | None],
        channel: Channel,
        splitter: Splitter,
        *,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(receive, at_end)
        self._channel = channel
        self._splitter = splitter
        self._records: deque[bytes] = deque()
        self.max_record_bytes = channel.max_record_bytes()
        self.too_long = 0

    @property
    def held(self) -> int:
        """Bytes taken from the source that have not been sent; separators are not counted."""
        return sum(map(len, self._records)) + self._splitter.held

    def release(self) -> bytes:
        """What is held, to be put back where it came from; it counts as not taken."""
        held = self._splitter.put_back(self._records)
        self._records.clear()
        self.taken -= len(held)
        return held

    def step(self) -> Wants:
        """Send what can be sent now. After NOTHING look at the errors and `too_long`."""
        wants = Wants.NOTHING if self.is_finished else None
        for _ in range(_SHARE_RECORDS):
            if wants is not None:
                return wants
            wants = self._advance()
        return wants or Wants.TURN

    def _advance(self) -> Wants | None:
        if self._records:
            return self._push(self._records[0])
        if self.source_ended:
            self._at_end()
            return self._finish()
        return self._pull()

    def _push(self, record: bytes) -> Wants | None:
        try:
            if not self._channel.try_send_record(record):
                return Wants.SINK
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                self.too_long = len(record)
            else:
                self.sink_error = error
            return self._finish()
        self._records.popleft()
        self.moved += len(record)
        return None

    def _pull(self) -> Wants | None:
        data = self._take()
        if isinstance(data, Wants):
            return data
        self._records.extend(self._splitter.feed(data) if data else self._splitter.finish())
        if not self._records and self._splitter.held > self.max_record_bytes:
            self.too_long = self._splitter.held  # the memory that an endless line takes has an end
            return self._finish()
        return None


class FramedRecords:
    """A socket of records as a source of bytes for `pump.Pump`: each record as `frame` writes it."""

    def __init__(self, channel: Channel, frame: Callable[[bytes], bytes]) -> None:
        self._channel = channel
        self._frame = frame
        self._error: OSError | None = None

    def try_receive(self, max_bytes: int) -> bytes | None:
        """Whole framed records, until that many bytes are there or no more have come; b"" at the end only.

        Raises:
            OSError: as the channel says, but only after every record that came before.
        """
        framed: list[bytes] = []
        size = 0
        while size < max_bytes and (record := self._try_next()) is not None:
            framed.append(self._frame(record))
            size += len(framed[-1])
        if size:
            return b"".join(framed)
        if self._error is not None:
            raise self._error
        return b"" if self._channel.receive_ended else None

    def _try_next(self) -> bytes | None:
        if self._channel.receive_ended or self._error is not None:
            return None
        try:
            record = self._channel.try_receive_record()
        except OSError as error:
            self._error = error
            return None
        return None if self._channel.receive_ended else record
