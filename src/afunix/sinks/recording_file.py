"""A recording in one file, FIFO or pipe, by a format that renders each event to whole blocks.

A regular file is valid at any time: where a write fails (ENOSPC, EIO) it is cut back to the end of the last event that is
whole. In a pipe nothing can be taken back; its reader is waited for, but never by whoever relays. It does not know what
is in a block; the buffer and the thread are `recording`'s.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import threading
from typing import Protocol

from ..kernel.descriptor_kind import DescriptorKind
from ..kernel.output import Output
from ..model.errors import OutputError, errno_name
from ..model.escaping import quote
from ..model.tapped import Said, TapEvent

_LOOK_AGAIN_MS = 100
"""How often one that waits for a reader looks whether it is still to wait, and whether a FIFO has one."""

_FILE_MODE = 0o600
"""What is said on a socket is not for everybody."""

Block = tuple[bytes, int]
"""An event's bytes in the file, and how many bytes of a conversation they keep; NO_MESSAGE if it is no `Said`."""

NO_MESSAGE = -1


class Format(Protocol):
    """As `formats.pcapng`: pure, and in the order of events."""

    def header(self) -> bytes:
        """What the file begins with."""

    def render(self, event: TapEvent) -> bytes:
        """What stands in the file for `event`."""


class RecordingFile:
    """A Keeper (see `recording`) in the open file `fd`, which is closed with it; writing begins where the file is.

    Raises:
        OutputError: not even the header could be written to a regular file; `fd` is closed.
    """

    def __init__(self, fd: int, name: str, form: Format) -> None:
        self.name = name
        self.kept_messages = 0
        self.kept_bytes = 0
        self._form = form
        self._render = form.render
        self._fd = fd
        self._fifo: str | None = None
        self._output: Output | None = None
        self._given_up = threading.Event()
        self._is_last_look = threading.Event()
        self._header = form.header()
        self._written = 0
        self._end: int | None = None
        """Where the last whole event of a regular file ends."""
        if fd >= 0:
            self._begin()

    @classmethod
    def open(cls, path: str, form: Format) -> RecordingFile:
        """At `path`: made with mode 0600, or emptied; a FIFO is opened when it has a reader, which is not waited for.

        Raises:
            OutputError: it cannot be written, or is no place for a recording (a directory, a socket).
        """
        try:
            if _is_fifo(path):
                keeper = cls(-1, path, form)
                keeper._fifo = path
                return keeper
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOCTTY
            return cls(os.open(path, flags, _FILE_MODE), path, form)
        except OutputError:
            raise
        except OSError as error:
            raise cannot_write(path, error) from error

    def _begin(self) -> None:
        """Start writing; where that waits for nobody at once, so that a full disk is known before anything is tapped."""
        try:
            self._output = Output(self._fd)
            if stat.S_ISREG(os.fstat(self._fd).st_mode):
                self._end = _write_position(self._fd)
                self.keep([])
                flush(self._fd)
            elif self._output.kind is DescriptorKind.DEVICE and self._header:
                self.keep([])
        except OSError as error:
            self.close()
            raise cannot_write(self.name, error) from error

    def prepare(self, event: TapEvent) -> tuple[Block, int]:
        data = self._render(event)
        return (data, len(event.data) if type(event) is Said else NO_MESSAGE), len(data)

    def missed(self, event: Said) -> None:
        """Nothing: the sequence numbers of what follows say it."""

    def keep(self, pieces: list[Block]) -> None:
        if self._output is None:
            self._open_fifo()
        if self._header:
            pieces = [(self._header, NO_MESSAGE), *pieces]
            self._header = b""
        self._written = 0
        try:
            self._write(b"".join([block for block, _ in pieces]))
        except OSError:
            self._cut_back(self._count(pieces))
            raise
        whole = self._count(pieces)
        if self._end is not None:
            self._end += whole

    def _write(self, data: bytes) -> None:
        """All of `data`, or what goes before `give_up`; `_written` says how much."""
        assert self._output is not None
        view = memoryview(data)
        while self._written < len(data):
            taken = self._output.try_write([view[self._written :]])
            self._written += taken
            if not taken and not self._wait_for_room():
                return
        while not self._output.is_flushed():
            if not self._wait_for_room():
                return

    def _wait_for_room(self) -> bool:
        assert self._output is not None
        poll = select.poll()
        poll.register(self._fd if self._output.wait_fd is None else self._output.wait_fd, select.POLLOUT)
        while not self._given_up.is_set():
            if poll.poll(_LOOK_AGAIN_MS):
                return True
        return False

    def _count(self, pieces: list[Block]) -> int:
        """Count what is whole in what was written; where the last whole piece ends."""
        end = 0
        for block, said in pieces:
            if end + len(block) > self._written:
                break
            end += len(block)
            if said != NO_MESSAGE:
                self.kept_messages += 1
                self.kept_bytes += said
        return end

    def _cut_back(self, whole: int) -> None:
        """Take away what stands after `whole` bytes of this batch, if nobody else has written there meanwhile."""
        if self._end is None:
            return
        self._end += whole
        try:
            if os.lseek(self._fd, 0, os.SEEK_CUR) == os.fstat(self._fd).st_size:
                os.ftruncate(self._fd, self._end)
                os.lseek(self._fd, self._end, os.SEEK_SET)
        except OSError:
            pass  # what made the write fail is what is told

    def _open_fifo(self) -> None:
        """Once somebody reads. Raises OSError (ENXIO): nobody did, to the end."""
        assert self._fifo is not None
        while self._fd < 0:
            is_last = self._is_last_look.is_set()
            try:
                self._fd = os.open(self._fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.ENXIO or is_last:
                    raise
                self._is_last_look.wait(_LOOK_AGAIN_MS / 1000)
        self._output = Output(self._fd)

    @property
    def waits_for_reader(self) -> bool:
        """Is it a FIFO that nobody has opened for reading yet?"""
        return self._fifo is not None and self._fd < 0 and not self._is_last_look.is_set()

    def wrap_up(self) -> None:
        self._is_last_look.set()

    def give_up(self) -> None:
        self._given_up.set()
        self._is_last_look.set()

    def close(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def cannot_write(path: str, error: OSError) -> OutputError:
    """A recording that cannot even begin."""
    reason = f"{(error.strerror or 'no reason given').lower()} ({errno_name(error.errno)})"
    return OutputError(f"cannot write the recording {quote(path)}: {reason}", errno=error.errno)


def flush(fd: int) -> None:
    """fsync(2), which finds a full disk where write(2) has not. Raises OSError, but not where there is no fsync."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def _write_position(fd: int) -> int:
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND:
        return os.lseek(fd, 0, os.SEEK_END)
    return os.lseek(fd, 0, os.SEEK_CUR)
