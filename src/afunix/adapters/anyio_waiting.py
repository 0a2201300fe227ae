"""How an anyio task waits for a stream: with `anyio.wait_readable` and `wait_writable`, on asyncio and on trio.

Going through steps, `send_timeout`, hang-ups and every end. Our errors become anyio's at one border, `_ANYIOS`.
Loops may make what they wait for non-blocking (uvloop does): a socket that others may share is no loop's to see.
Nothing here may know which backend runs, or what is moved.
"""

from __future__ import annotations

import select
import socket
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint

from ..kernel.channel import Channel
from ..kernel.endpoint import Name
from ..kernel.progress import Progress
from ..kernel.steps import Need, Steps
from ..kernel.stream_steps import StreamSteps
from ..model.errors import AfunixError, BrokenStreamError, BusyError, ClosedError, EndOfStream
from ..model.events import Closed, Observer

T = TypeVar("T")

_ANYIOS: tuple[tuple[type[AfunixError], type[Exception]], ...] = (
    (EndOfStream, anyio.EndOfStream),
    (ClosedError, anyio.ClosedResourceError),
    (BrokenStreamError, anyio.BrokenResourceError),
)
"""Ours, and what anyio calls it; BusyResourceError, the fourth, says what the other task does."""


@contextmanager
def as_anyio_says(doing: str) -> Iterator[None]:
    """Within it our errors become anyio's, raised `from` ours; those for which anyio has no name stay ours."""
    try:
        yield
    except BusyError as error:
        raise anyio.BusyResourceError(doing) from error
    except AfunixError as error:
        for ours, theirs in _ANYIOS:
            if isinstance(error, ours):
                raise theirs(error.message) from error
        raise


class Waiting(StreamSteps):
    """A stream in whatever loop anyio runs on. Every `await` is a checkpoint."""

    def __init__(
        self,
        channel: Channel,
        local: Name,
        remote: Name,
        *,
        accept_fds: int,
        send_timeout: float | None,
        observer: Observer | None,
        opened_at: str | None,
    ) -> None:
        """Not for users: see `anyio_stream.attach`."""
        self._hangup: select.epoll | None = None
        self._watches: dict[int, select.epoll] = {}  # by the event; of a socket that is not ours
        self._observer = observer
        self._opened_at = opened_at
        super().__init__(channel, local, remote, accept_fds=accept_fds, send_timeout=send_timeout)

    async def wait_hangup(self) -> None:
        """Return once the peer has closed, or both directions have ended: whoever works for it may stop.

        Takes no byte; a half-close by the peer is not a hang-up. May run beside a receive and a send.

        Raises:
            BusyResourceError: another task waits for it already. ClosedResourceError: closed here meanwhile.
        """
        await checkpoint()
        with as_anyio_says("waiting for"):
            self._open_socket()
            if self._hangup is not None:
                raise BusyError("another task is waiting for this stream's hang-up")
            with select.epoll() as self._hangup:
                try:
                    self._hangup.register(self._channel.fd, 0)  # EPOLLHUP is told unasked (epoll_ctl(2))
                    await self._wait(anyio.wait_readable, self._hangup.fileno())
                finally:
                    self._hangup = None

    # Ends

    def close(self) -> None:
        """Close, now; idempotent. Whoever waits on the stream gets ClosedResourceError.

        What was sent stays sent; with bytes unread the peer gets ECONNRESET after it has read (unix(7)).
        """
        channel = self._channel
        if channel.is_closed:
            return
        if self._receiving or self._sending:
            for fd in (channel.fd, *(watch.fileno() for watch in self._watches.values())):
                anyio.notify_closing(fd)
        if self._hangup is not None:
            anyio.notify_closing(self._hangup.fileno())
        self._close_channel()

    def _close_channel(self) -> None:
        channel = self._channel
        fd = channel.fd
        self._close_watches()
        channel.close()
        if self._observer is not None:
            self._observer(Closed(fd, channel.connection, channel.bytes_received, channel.bytes_sent))

    def _close_watches(self) -> None:
        while self._watches:
            self._watches.popitem()[1].close()

    async def aclose(self) -> None:
        """`close`, then a checkpoint. The stream is closed also if this is cancelled."""
        self.close()
        await checkpoint()

    def detach(self) -> tuple[socket.socket, bytes]:
        """Give the socket away, with the bytes that were put back or read ahead: the caller owns both from now on.

        `attach(sock, unread=…)` takes them up again, here or with any other face of afunix. A socket that we made comes
        as a new one does: it blocks, without a timeout. Of one that was given to us O_NONBLOCK is as it was.

        Raises:
            BusyError: a task is using the stream. ClosedError: it is closed.
        """
        if self._hangup is not None:
            raise BusyError(
                "a task is waiting for this stream's hang-up", hint="cancel it first, then detach"
            )
        given = self._detach_socket()
        self._close_watches()
        return given

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
            self._close_channel()  # nobody waits: who did would have kept it

    def __repr__(self) -> str:
        where = "closed" if self.is_closed else f"fd={self._channel.fd}"
        return f"<afunix.adapters.anyio.{type(self).__name__} {where} {self.state.name}>"

    # Waiting

    async def _receive_by(self, steps: Steps[T]) -> T:
        with as_anyio_says("reading from"):
            return await self._run(steps)

    async def _send_by(self, steps: Steps[T]) -> T:
        with as_anyio_says("writing to"):
            return await self._run(steps)

    async def _run(self, steps: Steps[T]) -> T:
        """Go through `steps`, waiting for what they need. What interrupts a wait is thrown into them.

        The checkpoint comes first: once bytes have moved nothing may be cancelled any more.
        """
        await checkpoint()
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
            await checkpoint()
        else:
            await self._wait_until(select.EPOLLIN)

    async def _wait_to_send(self, progress: Progress) -> None:
        limit_s = self._send_timeout
        if limit_s is None:
            await self._wait_until(select.EPOLLOUT)
            return
        while True:
            seconds = progress.seconds_left(limit_s, anyio.current_time())
            with anyio.move_on_after(seconds) as look:
                await self._wait_until(select.EPOLLOUT)
            if not look.cancelled_caught:
                return

    async def _wait_until(self, event: int) -> None:
        """EPOLLIN or EPOLLOUT: in the loop if the socket is ours, else in an epoll that the loop waits for."""
        fd = self.fileno()
        if not self._channel.is_ours:
            await self._wait(anyio.wait_readable, self._watch_for(event, fd).fileno())
        elif event == select.EPOLLIN:
            await self._wait(anyio.wait_readable, fd)
        else:
            await self._wait(anyio.wait_writable, fd)

    def _watch_for(self, event: int, fd: int) -> select.epoll:
        """Made at the first wait for `event`, and kept until the end: most streams never wait for room."""
        watch = self._watches.get(event)
        if watch is None:
            watch = select.epoll()
            try:
                watch.register(fd, event)
            except BaseException:
                watch.close()
                raise
            self._watches[event] = watch
        return watch

    async def _wait(self, ready: Callable[[int], Awaitable[None]], fd: int) -> None:
        try:
            await ready(fd)
        except anyio.ClosedResourceError:  # `close` has told of it
            raise self._closed_error() from None
