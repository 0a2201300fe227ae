"""The way out: what is queued for one output, written once a turn of the loop, and the wait while it takes nothing.

Shared by every sink that writes to STDOUT. It does not know about clients or lines; it tells its sink when to stop
taking bytes (`on_stall`), when to go on (`on_flow`), and that the output broke (`on_failure`), once.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable

from ..kernel.output import MAX_BUFFERS, Output
from ..streams.readiness import RoomWatch

FLUSH_BYTES = 1 << 20
"""What may be queued before it is written in mid-turn."""


class Outflow:
    """Bytes on their way to `output`, in order: `queued` still here, `written` so far."""

    def __init__(
        self,
        output: Output,
        loop: asyncio.AbstractEventLoop,
        *,
        on_stall: Callable[[], None],
        on_flow: Callable[[], None],
        on_failure: Callable[[OSError], None],
    ) -> None:
        self.output = output
        self.queued = 0
        self.written = 0
        self.has_failed = False
        self.is_blocked = False
        """True while the output takes nothing, or never will again."""
        self._loop = loop
        self._on_stall = on_stall
        self._on_flow = on_flow
        self._on_failure = on_failure
        self._out: list[bytes | memoryview] = []
        self._room = RoomWatch(loop, self._flow)
        self._stalled_at = 0.0
        self._stalled_before_s = 0.0
        self.is_scheduled = False

    def queue(self, data: bytes) -> None:
        self._out.append(data)
        self.queued += len(data)

    def flush_soon(self) -> None:
        """Write at the end of this turn of the loop, with whatever else was queued by then."""
        if self.queued and not self.is_scheduled:
            self.is_scheduled = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self.is_scheduled = False
        self.flush()

    def flush(self) -> bool:
        """Write what is queued; True if the output took all of it and would take more."""
        out = self._out
        while out and not self.is_blocked:
            try:
                taken = self.output.try_write(out if len(out) <= MAX_BUFFERS else out[:MAX_BUFFERS])
            except OSError as error:
                self.fail(error)
                return False
            self.written += taken
            self.queued -= taken
            if not self.queued:
                out.clear()
            elif taken:
                self._drop(taken)
            else:
                self.stall()
        return not self.is_blocked

    def _drop(self, taken: int) -> None:
        """Forget the first `taken` bytes of what is queued."""
        done = 0
        for data in self._out:
            if taken < len(data):
                break
            taken -= len(data)
            done += 1
        del self._out[:done]
        if taken:
            self._out[0] = memoryview(self._out[0])[taken:]

    def is_full(self) -> bool:
        """Whether the output would take nothing now."""
        wait_fd = self.output.wait_fd
        if wait_fd is None:
            return False
        poll = select.poll()
        poll.register(wait_fd, select.POLLOUT)
        return not poll.poll(0)

    def stall(self) -> None:
        """The output takes nothing: the sink is told to stop, and to go on once it does."""
        wait_fd = self.output.wait_fd
        if wait_fd is not None and not self.is_blocked:
            self.is_blocked = True
            self._stalled_at = self._loop.time()
            self._room.wait(wait_fd)
            self._on_stall()

    def _flow(self) -> None:
        self.is_blocked = False
        self._stalled_before_s += self._loop.time() - self._stalled_at
        if self.flush():
            self._on_flow()

    def fail(self, error: OSError) -> None:
        """The output broke: nothing is written any more."""
        if not self.has_failed:
            self._room.cancel()
            self.has_failed = self.is_blocked = True
            self._on_stall()
            self._on_failure(error)

    def stalled_s(self) -> float:
        """For how many seconds in all the output took nothing: time in which no client could be heard."""
        now = self._loop.time() - self._stalled_at if self._room.is_waiting else 0.0
        return self._stalled_before_s + now

    def drain(self) -> bool:
        """Write what can be written now; True if all of it has reached the output. If not, `on_flow` comes later.

        Where a thread writes for us, what it took is still on its way: its end is waited for as room is.
        """
        if not self.flush():
            return False
        try:
            is_through = self.output.is_flushed()
        except OSError as error:
            self.fail(error)
            return False
        if not is_through:
            self.stall()
        return is_through and not self.bytes_unwritten()

    def bytes_unwritten(self) -> int:
        """What was taken from clients and has not reached the output."""
        return self.queued + self.output.stranded()

    def close(self) -> None:
        """Watch nothing any more; idempotent."""
        self._room.cancel()
