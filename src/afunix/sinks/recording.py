"""What a tap saw, on its way to where it is kept: a bounded buffer, and a thread of its own that writes.

A slow disk, a full one or a reader that stalls never hold up the conversation: what does not fit is not kept, and
counted. The thread writes at once what comes after a pause, then at most fifty times a second, so that it hardly ever
takes the interpreter from whoever relays. What a kept event looks like is a Keeper's matter (`recording_file`,
`recording_directory`); what is done about a trouble is the caller's.
"""

from __future__ import annotations

import errno
import signal
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ..model.errors import OutputError, errno_name
from ..model.escaping import quote
from ..model.tapped import Said, TapEvent

MAX_HELD_BYTES = 64 << 20
"""What waits to be written, all of it together."""

_BATCH_BYTES = 1 << 20
"""So much is written without waiting for more; also the longest step in which the buffer does not shrink."""

_PACE_S = 0.02
_OBJECT_BYTES = 64
"""What a piece takes beside its bytes, roughly: many small ones are no less memory than few long ones."""

_GRACE_S = 0.5

Piece = TypeVar("Piece")


class Keeper(Protocol[Piece]):
    """Where events are kept. `prepare` and `missed` are called by whoever has the events, the rest by the thread."""

    name: str
    """As it was given, for messages."""
    kept_messages: int
    kept_bytes: int

    def prepare(self, event: TapEvent) -> tuple[Piece, int]:
        """What is to be written for `event`, and how many bytes it holds in memory. Every event comes, in order."""

    def missed(self, event: Said) -> None:
        """What was prepared last will never come to `keep`."""

    def keep(self, pieces: list[Piece]) -> None:
        """Write all of them, and count in `kept_messages` and `kept_bytes` what is kept whole.

        Raises:
            OSError: it could not; what was written of an unfinished piece was cut off again, if that was possible.
        """

    def wrap_up(self) -> None:
        """From another thread: no event comes any more, so it is not waited any longer for a reader that never came."""

    def give_up(self) -> None:
        """From another thread: a `keep` that waits for a reader returns, whatever is unwritten."""

    def close(self) -> None:
        """Close what it owns.

        Raises:
            OSError: as close(2); everything is closed all the same.
        """


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a recording. `bytes` are those of the conversations, a message is one `Said`."""

    messages: int
    bytes: int
    lost_messages: int
    lost_bytes: int
    trouble: OutputError | None

    @property
    def is_complete(self) -> bool:
        return not self.lost_messages and self.trouble is None


class Recording(Generic[Piece]):
    """Takes events, never waits, never raises. Owns `keeper`, which its thread closes.

    `on_trouble` is called once: with what ended the recording (ENOSPC, EPIPE …) from the recording's thread, or, with
    ENOBUFS, within `record` when something did not fit for the first time; after that the recording goes on.
    """

    def __init__(
        self,
        keeper: Keeper[Piece],
        *,
        max_held_bytes: int = MAX_HELD_BYTES,
        on_trouble: Callable[[OutputError], None] | None = None,
    ) -> None:
        self._keeper = keeper
        self._max_held = max_held_bytes
        self._on_trouble = on_trouble
        self._trouble: OutputError | None = None
        self._has_ended = False
        self._messages = 0
        self._bytes = 0
        self._held = 0
        self._batch: list[Piece] = []
        self._batch_bytes = 0
        self._full_batches: deque[tuple[list[Piece], int]] = deque()
        self._is_closing = False
        self._is_idle = False
        self._lock = threading.Lock()
        self._change = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name="afunix-recording", daemon=True)
        self._thread.start()

    def record(self, event: TapEvent) -> None:
        """Keep it, if there is room for it; if not, count it."""
        is_message = False
        if type(event) is Said:
            is_message = True
            self._messages += 1
            self._bytes += len(event.data)
        if self._has_ended:
            return
        piece, size = self._keeper.prepare(event)
        size += _OBJECT_BYTES
        # What a reader needs to make sense of the rest, openings and ends, has an eighth for itself.
        limit = self._max_held if is_message else self._max_held + (self._max_held >> 3)
        with self._lock:
            has_room = self._held + size <= limit
            if has_room:
                self._add(piece, size)
        if not has_room:
            self._refuse(event)

    def _add(self, piece: Piece, size: int) -> None:
        self._held += size
        self._batch.append(piece)
        self._batch_bytes += size
        if self._batch_bytes >= _BATCH_BYTES:
            self._full_batches.append((self._batch, self._batch_bytes))
            self._batch, self._batch_bytes = [], 0
            self._change.notify()
        elif self._is_idle:
            self._is_idle = False
            self._change.notify()

    def _refuse(self, event: TapEvent) -> None:
        if type(event) is Said:
            self._keeper.missed(event)
        if self._trouble is None:
            what = (
                f"recording {quote(self._keeper.name)} is too slow: more than {self._max_held >> 20} MiB wait"
            )
            self._tell(OutputError(f"{what} to be written (ENOBUFS)", errno=errno.ENOBUFS))

    def _tell(self, trouble: OutputError) -> None:
        is_first = self._trouble is None
        self._trouble = trouble
        if is_first and self._on_trouble is not None:
            self._on_trouble(trouble)

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are the main thread's
        try:
            try:
                self._keeper.keep([])  # what there is to write before the first event
                while (batch := self._take()) is not None:
                    self._keeper.keep(batch[0])
                    self._release(batch[1])
            finally:
                self._keeper.close()
        except OSError as error:
            self._fail(error)

    def _take(self) -> tuple[list[Piece], int] | None:
        """The oldest of what waits; waits for it. None at the end."""
        with self._change:
            while not self._full_batches and not self._batch:
                if self._is_closing:
                    return None
                self._is_idle = True
                self._change.wait()
            self._is_idle = False
            if self._full_batches:
                return self._full_batches.popleft()
            batch = self._batch, self._batch_bytes
            self._batch, self._batch_bytes = [], 0
            return batch

    def _release(self, size: int) -> None:
        with self._change:
            self._held -= size
            if not self._full_batches and not self._is_closing:
                self._change.wait(_PACE_S)

    def _fail(self, error: OSError) -> None:
        with self._change:
            self._has_ended = True
            self._full_batches.clear()
            self._batch, self._batch_bytes = [], 0
        self._tell(_explain(self._keeper.name, error))

    def recorded(self) -> Recorded:
        """How it stands. While events still wait to be written, they count among those that are lost."""
        messages, kept_bytes = self._keeper.kept_messages, self._keeper.kept_bytes
        return Recorded(
            messages, kept_bytes, self._messages - messages, self._bytes - kept_bytes, self._trouble
        )

    def close(self, timeout_s: float = 5.0) -> Recorded:
        """Write what waits, for at most `timeout_s`, and say what became of it all. Blocks; idempotent.

        A thread that is stuck in a write that never returns (a server of files that is gone) is left behind.
        """
        self._keeper.wrap_up()
        with self._change:
            self._is_closing = True
            self._change.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._keeper.give_up()
            with self._change:
                self._full_batches.clear()
                self._batch, self._batch_bytes = [], 0
            self._thread.join(_GRACE_S)
        self._has_ended = True
        return self.recorded()


def nobody_reads(name: str) -> OutputError:
    """Of a FIFO that never had a reader."""
    return OutputError(
        f"nobody reads the FIFO {quote(name)} (ENXIO)", hint="start its reader first", errno=errno.ENXIO
    )


def _explain(name: str, error: OSError) -> OutputError:
    if error.errno == errno.ENXIO:
        return nobody_reads(name)
    if error.errno == errno.EPIPE:
        return OutputError(f"nobody reads the recording {quote(name)} any more (EPIPE)", errno=errno.EPIPE)
    hint = "what was kept so far is whole" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    reason = f"{(error.strerror or 'no reason given').lower()} ({errno_name(error.errno)})"
    return OutputError(f"recording {quote(name)} stopped: {reason}", hint=hint, errno=error.errno)
