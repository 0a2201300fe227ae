"""Records (datagrams, seqpacket messages) to bytes and back: the rule for what separates them. Pure.

--lines  (default)   in: each line without its newline is a record, the unfinished last one too
                     out: the record, and a newline unless it ends in one
--null               in: each piece between NUL bytes      out: the record and a NUL
--raw                in: everything is one record          out: the record, nothing added
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class RecordFormat(Enum):
    """What stands between two records."""

    LINES = b"\n"
    NULL = b"\0"
    RAW = b""


class RecordSplitter:
    """Bytes in pieces of any size to records. Holds the unfinished one; `held` is its length so far."""

    def __init__(self, record_format: RecordFormat) -> None:
        self._separator = record_format.value
        self._pieces: list[bytes] = []
        self.held = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data` completes."""
        if not self._separator or self._separator not in data:
            self._hold(data)
            return []
        first, *rest = data.split(self._separator)
        self._hold(first)
        records = [self._release(), *rest]
        self._hold(records.pop())
        return records

    def finish(self) -> list[bytes]:
        """The last record, if it has a byte; raw bytes are one record also if there are none."""
        return [self._release()] if self.held or not self._separator else []

    def put_back(self, records: Iterable[bytes]) -> bytes:
        """Bytes that would be split into `records`, then held as what is held now. Nothing is held afterwards."""
        return b"".join(record + self._separator for record in records) + self._release()

    def _hold(self, data: bytes) -> None:
        if data:
            self._pieces.append(data)
            self.held += len(data)

    def _release(self) -> bytes:
        record = b"".join(self._pieces)
        self._pieces.clear()
        self.held = 0
        return record


def frame(record: bytes, record_format: RecordFormat) -> bytes:
    """`record` as it is written out."""
    if record_format is RecordFormat.LINES and record.endswith(b"\n"):
        return record
    return record + record_format.value
