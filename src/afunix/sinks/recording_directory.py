"""A recording as raw bytes: DIR/0001.client and DIR/0001.server of connection 1, and a line in DIR/index.jsonl when it ends.

A file is made with the first byte of its side, and holds nothing but what was said. Few of them are open at a time. Where
a write fails, the file is cut back to the last message that is whole; what is missing is in the index. The buffer and
the thread are `recording`'s, the words of the index `formats.record_index`'s.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field

from ..formats.record_index import SideTotals, render_connection
from ..model.credentials import UNKNOWN_ID, PeerCredentials
from ..model.errors import OutputError
from ..model.escaping import quote
from ..model.tapped import Beginning, Opened, Over, Said, SaidAll, Side, TapEvent
from .recording_file import cannot_write, flush

INDEX = "index.jsonl"

MAX_OPEN_FILES = 64
"""Others are closed, and opened again when there is more for them."""

_EVENT_BYTES = 200
_BLOCK = bytes(4096)
"""What a disk has to have room for at the beginning."""

_NOBODY = PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID)

_Key = tuple[int, str]
"""A stream: its connection, and the side that speaks, by name."""


@dataclass(slots=True)
class _Conversation:
    opened: Opened
    client: SideTotals = field(default_factory=SideTotals)
    server: SideTotals = field(default_factory=SideTotals)

    def totals(self, side: str) -> SideTotals:
        return self.client if side == Side.CLIENT.value else self.server


class RecordingDirectory:
    """A Keeper (see `recording`) in the directory `path`, which is made (mode 0700) if it is not there.

    Raises:
        OutputError: it cannot be written, or has a recording already.
    """

    def __init__(self, path: str, beginning: Beginning, *, max_open_files: int = MAX_OPEN_FILES) -> None:
        self.name = path
        self.kept_messages = 0
        self.kept_bytes = 0
        self._beginning = beginning
        self._max_open = max_open_files
        self._conversations: dict[int, _Conversation] = {}
        self._said: dict[_Key, list[Said]] = {}
        self._files: OrderedDict[_Key, int] = OrderedDict()
        self._missing: dict[_Key, int] = {}
        self._missing_lock = threading.Lock()
        self._directory, self._index = _open_directory(path)

    def prepare(self, event: TapEvent) -> tuple[TapEvent, int]:
        return event, _EVENT_BYTES + (len(event.data) if type(event) is Said else 0)

    def missed(self, event: Said) -> None:
        key = event.connection, event.side.value
        with self._missing_lock:
            self._missing[key] = self._missing.get(key, 0) + len(event.data)

    def keep(self, pieces: list[TapEvent]) -> None:
        for event in pieces:
            if isinstance(event, Said):
                self._said.setdefault((event.connection, event.side.value), []).append(event)
            elif isinstance(event, Opened):
                self._conversations[event.connection] = _Conversation(event)
            elif isinstance(event, Over):
                self._end(event)
            else:
                assert isinstance(event, SaidAll)  # which is the end of the file
        for key in [*self._said]:
            self._flush(key)

    def _end(self, event: Over) -> None:
        for side in Side:
            key = event.connection, side.value
            self._flush(key)
            fd = self._files.pop(key, -1)
            if fd >= 0:
                os.close(fd)
        self._write_line(event.connection, event.at_s, event.reason)

    def _flush(self, key: _Key) -> None:
        said = self._said.pop(key, None)
        if not said:
            return
        totals = self._conversation(said[0]).totals(key[1])
        totals.descriptors += sum(len(event.descriptors) for event in said)
        data = b"".join([event.data for event in said])
        written = 0
        try:
            if data:
                fd = self._open(key, is_new=not totals.bytes)
                while written < len(data):
                    written += os.write(fd, memoryview(data)[written:])
        except OSError:
            before = totals.bytes
            self._count(totals, said, written)
            totals.missing_bytes += before + len(data) - totals.bytes
            if key in self._files:
                _cut_back(self._files[key], totals.bytes)
            raise
        self._count(totals, said, written)

    def _conversation(self, event: Said) -> _Conversation:
        """Also of a connection whose opening did not fit."""
        known = self._conversations.get(event.connection)
        if known is None:
            known = _Conversation(Opened(event.connection, event.at_s, _NOBODY))
            self._conversations[event.connection] = known
        return known

    def _count(self, totals: SideTotals, said: list[Said], written: int) -> None:
        """Count those that are whole within `written` bytes."""
        for event in said:
            written -= len(event.data)
            if written < 0:
                return
            totals.bytes += len(event.data)
            totals.messages += 1
            self.kept_messages += 1
            self.kept_bytes += len(event.data)

    def _open(self, key: _Key, *, is_new: bool) -> int:
        fd = self._files.get(key)
        if fd is not None:
            self._files.move_to_end(key)
            return fd
        if len(self._files) >= self._max_open:
            self._close_oldest()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        name = f"{key[0]:04d}.{key[1]}"
        while True:
            try:
                fd = os.open(name, flags | (os.O_TRUNC if is_new else 0), mode=0o600, dir_fd=self._directory)
                self._files[key] = fd
                return fd
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._files:
                    raise
                self._close_oldest()

    def _close_oldest(self) -> None:
        _, fd = self._files.popitem(last=False)
        os.close(fd)

    def _write_line(self, connection: int, closed_at_s: float | None, reason: str) -> None:
        conversation = self._conversations.pop(connection, None)
        if conversation is None:
            return
        for side in Side:
            with self._missing_lock:
                missing = self._missing.pop((connection, side.value), 0)
            conversation.totals(side.value).missing_bytes += missing
        line = render_connection(
            self._beginning,
            conversation.opened,
            closed_at_s=closed_at_s,
            reason=reason,
            client=conversation.client,
            server=conversation.server,
        )
        end = os.lseek(self._index, 0, os.SEEK_END)
        try:
            if os.write(self._index, line) == len(line):
                return
        except OSError:
            _cut_back(self._index, end)
            raise
        _cut_back(self._index, end)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def wrap_up(self) -> None:
        """Nothing, as with `give_up`."""

    def give_up(self) -> None:
        """Nothing: files have no readers to wait for."""

    def close(self) -> None:
        """Those that are not over get their line as well, without a date of their end."""
        for key, said in self._said.items():  # left by a failure
            totals = self._conversation(said[0]).totals(key[1])
            totals.missing_bytes += sum(len(event.data) for event in said)
        self._said.clear()
        try:
            for connection in [*self._conversations]:
                self._write_line(connection, None, "")
        finally:
            for fd in (*self._files.values(), self._index, self._directory):
                os.close(fd)
            self._files.clear()


def _cut_back(fd: int, size: int) -> None:
    try:
        os.ftruncate(fd, size)
    except OSError:
        pass  # what made the write fail is what is told


def _open_directory(path: str) -> tuple[int, int]:
    """The directory, and the index in it, which nobody else has. On a full disk neither is left behind."""
    is_ours = True
    try:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            is_ours = False
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        index = os.open(INDEX, flags, mode=0o600, dir_fd=directory)
    except OSError as error:
        os.close(directory)
        if error.errno == errno.EEXIST:
            message = f"directory {quote(path)} has a recording already: {quote(INDEX)} exists (EEXIST)"
            raise OutputError(message, hint="choose another directory", errno=errno.EEXIST) from error
        raise cannot_write(path, error) from error
    try:
        _must_have_room(index)
    except OSError as error:
        os.unlink(INDEX, dir_fd=directory)
        os.close(index)
        os.close(directory)
        if is_ours:
            with suppress(OSError):
                os.rmdir(path)
        raise cannot_write(path, error) from error
    return directory, index


def _must_have_room(fd: int) -> None:
    """Is there room for a block? Raises OSError."""
    if os.write(fd, _BLOCK) < len(_BLOCK):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    flush(fd)
    os.ftruncate(fd, 0)
