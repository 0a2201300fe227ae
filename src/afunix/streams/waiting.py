"""How an asyncio task waits for a socket: what `stream`, `packets` and `datagrams` have in common.

Joining the loop's hub, going through steps, `send_timeout`, and every end: close, cancel, misuse, forgotten. What is
waited for, and what is moved, is theirs. Only `hub` registers with the loop.
"""

from __future__ import annotations

import asyncio
import warnings
from asyncio import _get_running_loop
from types import TracebackType
from typing import Self, TypeVar

from ..kernel.channel import Channel
from ..kernel.origin import caller as caller
from ..kernel.owned_socket import Name, OwnedSocket
from ..kernel.progress import Progress
from ..kernel.steps import Need, NoProgressError, Steps
from ..model.errors import WrongLoopError
from ..model.events import Closed, Observer
from . import hub
from .hub import READABLE, WRITABLE, Hub, Watch
from .waiter import Waiter, is_waiting

T = TypeVar("T")

TURN_EVERY = 64
"""So many receives or sends that need not wait, and the loop gets a turn: for other tasks and for signals."""


class Waiting(OwnedSocket):
    """A socket in an event loop: that of its maker, until it is closed or detached."""

    __slots__ = ("_generation", "_hub", "_loop", "_observer", "_opened_at", "_turns", "_watch")

    _moved_by = "detach() it there, and attach() it here"
    """The hint for who uses it from another loop."""

    def __init__(
        self,
        channel: Channel,
        local: Name | None = None,
        remote: Name | None = None,
        *,
        loop: asyncio.AbstractEventLoop,
        accept_fds: int = 0,
        send_timeout: float | None = None,
        observer: Observer | None = None,
        opened_at: str | None = None,
    ) -> None:
        """Not for users: this library's functions make it."""
        super().__init__(channel, local, remote, accept_fds=accept_fds, send_timeout=send_timeout)
        self._loop = loop
        self._generation = hub.forks
        self._observer = observer
        self._opened_at = opened_at
        self._hub: Hub | None = None
        self._watch: Watch | None = None
        self._turns = 0

    @property
    def _is_waited_for(self) -> bool:
        """Is a task waiting here, for bytes or for room?"""
        watch = self._watch
        return watch is not None and (is_waiting(watch.reader) or is_waiting(watch.writer))

    # Ends

    def close(self) -> None:
        """Close, now; idempotent. Whoever waits here gets ClosedError.

        What was sent stays sent; with bytes unread a peer gets ECONNRESET after it has read (unix(7)).

        Raises:
            WrongLoopError: from another thread than the loop's; it stays open.
        """
        if not self._channel.is_closed:
            self._must_be_here()
            self._leave_hub()
            self._close_channel()

    async def aclose(self) -> None:
        """`close`, then a turn for others. It is closed also if this is cancelled."""
        self.close()
        await asyncio.sleep(0)

    def _is_used(self) -> bool:
        watch = self._watch
        waiting = watch is not None and any(map(is_waiting, watch.waiters()))
        return waiting or self._receiving or self._sending

    def _close_channel(self) -> None:
        channel = self._channel
        fd = channel.fd
        try:
            channel.note_peer()  # while it can be asked
        except OSError:
            pass  # somebody closed the descriptor beneath us
        channel.close()
        if self._observer is not None:
            self._observer(Closed(fd, channel.connection, channel.bytes_received, channel.bytes_sent))

    def _leave_hub(self) -> None:
        joined, watch = self._hub, self._watch
        if joined is not None and watch is not None:
            self._hub = self._watch = None
            joined.forget(watch)
            for waiter in watch.waiters():
                waiter.wake_soon()
            joined.leave()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        try:
            channel = self._channel
        except AttributeError:
            return  # it was never made
        if channel.is_closed:
            return
        where = f", opened at {self._opened_at}" if self._opened_at else ""
        try:
            warnings.warn(f"unclosed {self!r}{where}", ResourceWarning, source=self, stacklevel=2)
        finally:  # a warning may be an error
            if self._hub is not None and not self._is_here():
                self._loop.call_soon_threadsafe(self.close)
            else:
                self._leave_hub()
                channel.close()

    def __repr__(self) -> str:
        channel = self._channel
        where = "closed" if channel.is_closed else f"fd={channel.fd}"
        return f"<afunix.{type(self).__name__} {where} {self.state.name}>"

    # Waiting

    async def _run(self, steps: Steps[T]) -> T:
        """Go through `steps`, waiting for what they need. What interrupts a wait is thrown into them.

        A turn is given before they begin: if that is cancelled nothing has happened. Steps that go on with what was
        begun outside of them are for `_go_on`.
        """
        if _get_running_loop() is not self._loop:
            steps.close()
            raise self._wrong_loop()
        self._turns += 1
        if self._turns > TURN_EVERY:
            await self._give_turn()
        return await self._go_on(steps)

    async def _go_on(self, steps: Steps[T]) -> T:
        """The same, in this very step: nobody comes in between, and no cancellation."""
        progress: Progress | None = None
        try:
            need = next(steps)
            while True:
                try:
                    if need is Need.WRITABLE:
                        progress = progress or Progress(self._channel)
                        await self._wait_to_send(progress)
                    else:
                        await self._wait_for(need)
                except BaseException as error:
                    need = steps.throw(error)
                else:
                    need = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _wait_for(self, need: Need) -> None:
        if need is Need.TURN:
            await self._give_turn()
            return
        watch = self._watch or self._join_hub()
        self._turns = 0
        if not watch.mask & READABLE:
            self._arm(watch, READABLE)
        await watch.reader

    async def _wait_to_send(self, progress: Progress) -> None:
        watch = self._watch or self._join_hub()
        self._turns = 0
        if not watch.mask & WRITABLE:
            self._arm(watch, WRITABLE)
        waiter = watch.writer = watch.writer or Waiter(self._loop)
        if self._send_timeout is None:
            await waiter
        else:
            await self._wait_within(self._send_timeout, progress, waiter)

    async def _wait_within(self, limit_s: float, progress: Progress, waiter: Waiter) -> None:
        loop = self._loop
        expired = False
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal expired, timer
            try:
                timer = loop.call_later(progress.seconds_left(limit_s, loop.time()), look)
            except NoProgressError:
                expired = True
                waiter.wake()

        timer = loop.call_later(progress.seconds_left(limit_s, loop.time()), look)
        try:
            await waiter
        finally:
            timer.cancel()
        if expired:
            raise NoProgressError

    def _join_hub(self) -> Watch:
        self._must_fit()
        fd = self.fileno()
        self._hub = Hub.of(self._loop)
        self._hub.join()
        watch = self._watch = Watch(fd, self._loop)
        return watch

    def _arm(self, watch: Watch, events: int) -> None:
        self._must_fit()
        if self._hub is None:
            raise self._closed_error()
        self._hub.arm(watch, events)

    async def _give_turn(self) -> None:
        self._turns = 0
        await asyncio.sleep(0)

    async def _take_turns(self) -> None:
        """Before anything is moved: those that need not wait let others run now and then."""
        self._turns += 1
        if self._turns > TURN_EVERY:
            await self._give_turn()

    # Misuse

    def _is_reader_waiting(self) -> bool:
        """Is a task waiting to receive, without having said so by `_receiving`?"""
        return self._watch is not None and is_waiting(self._watch.reader)

    def _must_be_receivable(self) -> None:
        if self._is_reader_waiting():
            raise self._busy_receiving()
        super()._must_be_receivable()

    def _wrong_loop(self) -> WrongLoopError:
        return WrongLoopError(
            f"this {self._what} belongs to another event loop, or to the process that this one was forked from",
            hint=self._moved_by,
        )

    def _must_fit(self) -> None:
        if _get_running_loop() is not self._loop:
            raise self._wrong_loop()

    def _must_be_here(self) -> None:
        if not self._is_here():
            raise WrongLoopError(
                f"this {self._what} belongs to an event loop that runs in another thread",
                hint="let its loop do it: loop.call_soon_threadsafe(….close)",
            )

    def _is_here(self) -> bool:
        """In the loop's thread, or while it does not run, or in a forked child, where it does not."""
        loop = self._loop
        return _get_running_loop() is loop or not loop.is_running() or self._generation != hub.forks
