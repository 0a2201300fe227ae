"""`Server`: listeners, the one accept path, a task for each client, and a whole stop.

What it is made of is put together here: `acceptor` takes clients, `attending` serves them, `shutdown` has the order of
the end.
"""

from __future__ import annotations

import asyncio
import signal
from asyncio import _get_running_loop
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from socket import SocketType
from types import TracebackType

from ..kernel import activation
from ..kernel.channel import Channel
from ..kernel.discarding_channel import DiscardingChannel
from ..kernel.listener import Listener as BoundListener
from ..kernel.listener import Ownership
from ..kernel.traced_channel import TracedChannel
from ..model.address import Address
from ..model.errors import AfunixError, BusyError, ClosedError, WrongLoopError
from ..model.events import Observer, Stopping
from ..model.patience import must_be_seconds
from ..model.rules import Rules
from ..model.stream_state import ServerStats
from .acceptor import Acceptor
from .attending import Attendance, AttendSettings, Handler, failure_reporter
from .hub import Hub
from .log_observer import warn_of_shortage
from .observing import observer_for
from .server_listeners import Addressed, open_all, take_all
from .shutdown import PATIENCE_S, Shutdown
from .signals import signals_watched
from .stream import Stream


class Server:
    """Serves clients until it is left. `serve` makes it; it belongs to the event loop in which it is started."""

    _types: tuple[str, ...] = ("stream", "seqpacket")

    def __init__(
        self,
        handler: Handler,
        addresses: Sequence[Addressed],
        ownership: Callable[[], Ownership],
        settings: AttendSettings,
        *,
        backlog: int | None,
        rules: Rules | None,
        max_per_user: int | None,
        observer: Observer | None,
    ) -> None:
        """Not for users: see `serve`."""
        self._handler = handler
        self._addresses = addresses
        self._ownership = ownership
        self._settings = settings
        self._backlog = backlog
        self._rules = rules
        self._max_per_user = max_per_user
        self._observer = observer
        self._listeners: list[BoundListener] = []
        self._shutdown: Shutdown | None = None
        self._signal: asyncio.Future[signal.Signals] | None = None  # while it is served until one comes

    # Life

    async def start(self) -> None:
        """Bind, listen and accept; `async with` does it.

        Raises:
            AddressInUseError: somebody alive holds the name; who, is in the message.
            AfunixError: as `listen`. Nothing is left behind then, and listeners that were given are still their
                owner's.
            ClosedError: it was started before.
        """
        if self._shutdown is not None:
            raise ClosedError("a server starts once", hint="serve() or relay() makes another one")
        loop = asyncio.get_running_loop()
        with ExitStack() as undo:
            hub = Hub.of(loop)
            hub.join()
            undo.callback(hub.leave)
            observer = observer_for(self._observer)
            accept_fds = self._settings.accept_fds
            listeners = open_all(
                self._addresses, self._ownership(), self._backlog, accept_fds, observer, undo, self._types
            )
            shutdown = self._put_together(listeners, loop, observer)
            undo.callback(self._take_apart)
            self._acceptor.start()
            take_all(self._addresses, listeners, accept_fds)
            undo.pop_all()
        self._loop = loop
        self._hub = hub
        self._tells = observer
        self._listeners = listeners
        self._shutdown = shutdown

    def _put_together(
        self, listeners: list[BoundListener], loop: asyncio.AbstractEventLoop, observer: Observer | None
    ) -> Shutdown:
        is_observed = self._observer is not None
        self._attendance = Attendance(
            self._handler,
            self._settings,
            loop,
            on_failure=_told_already if is_observed else self._failure_reporter(loop),
            observer=observer,
        )
        has_lobby = self._settings.queue_timeout is not None
        self._acceptor = Acceptor(
            listeners,
            self._attendance.attend,
            loop,
            rules=self._rules,
            max_clients=None if has_lobby else self._settings.max_clients,
            max_per_user=self._max_per_user,
            make_channel=self._channel_maker(listeners, observer),
            on_fault=self._on_accept_fault,
            on_shortage=None if is_observed else warn_of_shortage,
            observer=observer,
            alerts=observer,
        )
        self._attendance.on_left = self._acceptor.release
        return Shutdown(self._acceptor, listeners, self._attendance, self._on_left_behind)

    def _failure_reporter(self, loop: asyncio.AbstractEventLoop) -> Callable[[Stream, BaseException], None]:
        return failure_reporter(loop)

    def _take_apart(self) -> None:
        """What was put together did not start."""
        self._acceptor.close()

    def _channel_maker(
        self, listeners: list[BoundListener], observer: Observer | None
    ) -> Callable[[SocketType, int], Channel]:
        if observer is not None:
            return partial(TracedChannel, observer=observer, owned=False)
        if not self._settings.accept_fds and all(listener.refuses_fds for listener in listeners):
            return Channel
        return DiscardingChannel

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.aclose()
        else:
            await self._end()

    # What can be asked

    @property
    def listeners(self) -> tuple[BoundListener, ...]:
        """The listeners, in the order of the addresses, borrowed; empty before the start."""
        return tuple(self._listeners)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """What they are bound to."""
        return tuple(listener.address for listener in self._listeners)

    @property
    def stats(self) -> ServerStats:
        """Counters since the start; readable after the end."""
        if self._shutdown is None:
            return ServerStats(0, 0, 0, 0, 0, 0, 0, 0)
        attendance = self._attendance
        return ServerStats(
            accepted=self._acceptor.accepted,
            live=attendance.live,
            waiting=attendance.waiting,
            refused=self._acceptor.refused,
            dropped=attendance.dropped,
            failed=attendance.failed,
            bytes_received=attendance.bytes_received,
            bytes_sent=attendance.bytes_sent,
        )

    # What can be done

    def pause(self) -> None:
        """Accept nobody until `resume`; clients wait in the backlog. Those who are there go on."""
        self._running().pause()

    def resume(self) -> None:
        """Accept again; harmless if nothing was paused, and during a stop."""
        self._running().resume()

    async def drain(self, timeout: float | None = None) -> bool:
        """Begin the stop, and wait until every conversation has ended by itself, at most `timeout` seconds.

        New clients are refused, those in the backlog are still served, and the paths are removed, so that a
        successor can start. False: some go on; `aclose` ends them. If it is cancelled the stop has begun all the same.
        """
        if timeout is not None:
            must_be_seconds(timeout, "timeout")
        return await self._drain(self._running(), asyncio.timeout(timeout))

    async def _drain(self, shutdown: Shutdown, limit: asyncio.Timeout) -> bool:
        shutdown.begin()
        try:
            async with limit:
                await shutdown.wait()
        except TimeoutError:
            return False
        return True

    async def run_until_signal(self, *signals: signal.Signals, drain: float | None = 0.0) -> signal.Signals:
        """Serve until a signal comes (by default SIGTERM or SIGINT), then `drain(drain)`; the signal that came.

        A second one ends the draining; a third has the effect that it had before. systemd is told STOPPING=1. A signal
        that is ignored stays ignored. Leaving `async with` does the rest of the stop.

        Raises:
            ClosedError: the server was ended meanwhile.
            WrongLoopError: not in the main thread, which alone learns of signals. BusyError: another task waits here.
        """
        shutdown = self._running()
        if drain is not None:
            must_be_seconds(drain, "drain")
        if self._signal is not None:
            raise BusyError("another task is in run_until_signal() of this server")
        first = self._signal = self._loop.create_future()
        patience: list[asyncio.Timeout] = []

        def on_signal(number: signal.Signals) -> None:
            if not first.done():
                first.set_result(number)
            elif patience and not patience[0].expired():
                patience.pop().reschedule(self._loop.time())

        try:
            with signals_watched(self._loop, signals or (signal.SIGTERM, signal.SIGINT), on_signal):
                number: signal.Signals = await first
                if self._tells is not None:
                    self._tells(Stopping(-1, number.name))
                activation.notify("STOPPING=1")
                patience.append(asyncio.timeout(drain))
                await self._drain(shutdown, patience[0])
        finally:
            patience.clear()
            self._signal = None
        return number

    async def aclose(self, patience: float = PATIENCE_S) -> None:
        """The whole stop; idempotent. What `drain` began goes on.

        New clients are refused, those in the backlog served, the paths removed. Then nobody can send any more
        (SHUT_RD): handlers receive what was sent, and the end. When no byte has moved for `patience` seconds those who
        are left are cancelled, and it is waited until they have ended: none outlives its server. Cancelled itself, it
        is an `abort`.
        """
        must_be_seconds(patience, "patience")
        if self._shutdown is None:
            return
        self._must_be_here()
        try:
            if self._shutdown.is_ours:
                await self._shutdown.end_conversations(patience)
        finally:
            await self._end()

    async def _end(self) -> None:
        self.abort()
        if self._shutdown is not None and self._shutdown.is_ours:
            await self._attendance.wait_until_empty()

    def abort(self) -> None:
        """End now: close the listeners and every stream, and cancel the handlers; idempotent.

        In a forked child only its own descriptors are closed: paths, listeners and clients are the parent's.
        """
        if self._shutdown is None or self._shutdown.is_over:
            return
        self._must_be_here()
        self._shutdown.finish()
        self._attendance.end_all()
        self._hub.leave()
        if self._signal is not None and not self._signal.done():
            self._signal.set_exception(self._ended_error())

    def _running(self) -> Shutdown:
        if self._shutdown is None:
            raise ClosedError("this server has not been started", hint="async with serve(…) as server:")
        if self._shutdown.is_over:
            raise self._ended_error()
        self._must_be_here()
        if not self._shutdown.is_ours:
            raise WrongLoopError("this server belongs to the process that this one was forked from")
        return self._shutdown

    def _must_be_here(self) -> None:
        is_here = _get_running_loop() is self._loop or not self._loop.is_running()
        if not is_here and self._hub.is_ours:
            raise WrongLoopError(
                "this server belongs to another event loop, or to one in another thread",
                hint="loop.call_soon_threadsafe(server.pause), asyncio.run_coroutine_threadsafe(server.aclose(), loop)",
            )

    @staticmethod
    def _ended_error() -> ClosedError:
        return ClosedError("this server has ended", hint="its counters can still be read")

    # What happens

    def _on_accept_fault(self, error: OSError) -> None:
        self._report("a server accepts no more: accept(2) failed", error)

    def _on_left_behind(self, error: AfunixError) -> None:
        self._report("a server could not remove its path", error)

    def _report(self, message: str, error: Exception) -> None:
        """What must be known, though nobody waits for it."""
        self._loop.call_exception_handler({"message": message, "exception": error})


def _told_already(stream: object, error: BaseException) -> None:
    """The observer knows."""
