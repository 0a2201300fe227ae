"""The stop of a Server, in an order that loses nobody who got through and lets a successor start at once.

1  refuse new clients (SHUT_RD on listeners that are ours), accept those who wait in the queue
2  remove the paths, if they are still ours
3  let conversations go on, if their server drains
4  SHUT_RD each of them: what was sent is received, then comes the end; what is sent later fails with EPIPE
5  wait for their handlers as long as bytes move, or clients read

In a forked child nothing of this happens: the listeners and the loop's epoll are the parent's, too. Counterpart of
`tools.stop`, which is about sinks.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from ..kernel.listener import Listener
from ..model.errors import AfunixError
from .acceptor import Acceptor
from .attending import Attendance

PATIENCE_S = 5.0
"""How long a stop waits for handlers while no byte moves, and no client reads: of a large answer, 36 KiB or more
(`ConnectedSocket.unread_by_peer`)."""

_SHORTAGE_PAUSE_S = 0.05
"""Between two looks at a queue that could not be emptied for want of descriptors."""

_LOOKS = 20
_LONGEST_LOOK_S = 1.0
"""How often in the time of patience, and in a long one, it is looked whether bytes have moved."""


class Shutdown:
    """One stop, step by step; each step happens once, whoever asks for it first.

    `on_left_behind(error)` is told why a path of ours could not be removed.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        listeners: Sequence[Listener],
        attendance: Attendance,
        on_left_behind: Callable[[AfunixError], None],
    ) -> None:
        self._acceptor = acceptor
        self._listeners = listeners
        self._attendance = attendance
        self._on_left_behind = on_left_behind
        self._pid = os.getpid()
        self._has_begun = False
        self._is_queue_empty = False
        self.is_over = False

    @property
    def is_ours(self) -> bool:
        """False in a forked child."""
        return os.getpid() == self._pid

    def pause(self) -> None:
        self._acceptor.pause()

    def resume(self) -> None:
        if not self._has_begun:
            self._acceptor.start()

    def begin(self) -> None:
        """Steps 1 and 2."""
        if self._has_begun:
            return
        self._has_begun = True
        self._acceptor.pause()
        for listener in self._listeners:
            listener.refuse_new()
        try:
            self._accept_queued()
        finally:  # a handler may fail so badly that the process is to end
            self._unlink()

    def _accept_queued(self) -> None:
        self._is_queue_empty = self._acceptor.accept_queued()
        self._attendance.admit_all()

    def _unlink(self) -> None:
        for listener in self._listeners:
            obstacle = listener.unlink()
            if obstacle is not None:
                self._on_left_behind(obstacle)

    @property
    def _is_done(self) -> bool:
        return self.is_over or (self._is_queue_empty and self._attendance.is_empty)

    async def wait(self) -> None:
        """Step 3: until the queue is empty and every conversation has ended by itself."""
        while not self._is_done:
            await self._go_on(None)

    async def end_conversations(self, patience: float) -> None:
        """All steps up to 5: until every handler has ended, or no byte has moved for `patience` seconds,
        and no client has read.
        """
        if self.is_over:
            return
        self.begin()
        self._attendance.end_receiving()
        loop = asyncio.get_running_loop()
        self._attendance.have_read()
        moved, since = self._moved(), loop.time()
        while not self._is_done:
            left = since + patience - loop.time()
            if left <= 0:
                return
            await self._go_on(min(left, patience / _LOOKS, _LONGEST_LOOK_S))
            before, moved = moved, self._moved()
            if self._attendance.have_read() or moved != before:
                since = loop.time()

    def _moved(self) -> int:
        return self._attendance.bytes_received + self._attendance.bytes_sent + self._acceptor.accepted

    async def _go_on(self, limit_s: float | None) -> None:
        """Take who is still in the queue; wait for the last to leave, so long at most."""
        if not self._is_queue_empty:
            self._accept_queued()
            limit_s = _SHORTAGE_PAUSE_S if limit_s is None else min(limit_s, _SHORTAGE_PAUSE_S)
        try:
            async with asyncio.timeout(limit_s):
                if self._is_queue_empty:
                    await self._attendance.wait_until_empty()
                else:
                    await asyncio.sleep(_SHORTAGE_PAUSE_S)
        except TimeoutError:
            pass

    def finish(self) -> None:
        """Close the listeners, whose paths go if they have not gone yet."""
        self._has_begun = self.is_over = True
        if self.is_ours:
            self._acceptor.close()
            self._unlink()
        else:
            self._acceptor.close_copies()
        for listener in self._listeners:
            listener.close()
