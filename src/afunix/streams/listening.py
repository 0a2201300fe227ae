"""`listen` and its `Listener`: for those who accept clients themselves; `server` is for all others.

The names, the modes and the removal are `kernel.listener`'s. Descriptors that ran out are waited for here, too: a
client that got through is not turned away.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from asyncio import _get_running_loop
from socket import SO_OOBINLINE, SOCK_SEQPACKET, SOL_SOCKET, SocketType
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias, cast

from ..kernel.channel import Channel
from ..kernel.discarding_channel import DiscardingChannel
from ..kernel.listener import Listener as BoundListener
from ..kernel.requirement import decide
from ..kernel.traced_channel import TracedChannel
from ..model.acceptance import AcceptFailure, classify, next_pause
from ..model.address import Address
from ..model.errors import BusyError, ClosedError, WrongLoopError
from ..model.escaping import quote
from ..model.events import Accepted, Observer, Refused
from ..model.rules import Rules
from .hub import READABLE, Hub, Watch
from .stream import Stream
from .waiter import is_waiting
from .waiting import TURN_EVERY

if TYPE_CHECKING:
    from .packets import PacketStream

Written: TypeAlias = Address | str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""An address as people write it: `/run/app.sock`, `@name`, a Path, or parsed already."""


class Listener:
    """Waits for clients on one address. `listen` and `listen_packets` make it.

    Owns its socket, and the path if it bound it, until `close`; use it with `with` or `async with`. One that is
    forgotten warns (ResourceWarning). It belongs to the event loop that accepts on it first; one task accepts at a
    time. `refused` counts those whom the rules did not let in.
    """

    def __init__(
        self,
        core: BoundListener,
        *,
        rules: Rules | None = None,
        accept_fds: int = 0,
        send_timeout: float | None = None,
        observer: Observer | None = None,
        opened_at: str | None = None,
    ) -> None:
        """Not for users: see `listen`."""
        if accept_fds:
            core.let_descriptors_in()
        self._core = core
        self._rules = rules or Rules()
        self._opened_at = opened_at
        self.refused = 0
        self._accept_fds = accept_fds
        self._send_timeout = send_timeout
        self._observer = observer
        self._hub: Hub | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: Watch | None = None
        self._accepted = 0
        self._turns = 0
        self._is_given = False

    @property
    def address(self) -> Address:
        """What it is bound to."""
        return self._core.address

    @property
    def is_closed(self) -> bool:
        """Closed, or given to a server."""
        return self._is_given or self._core.fd < 0

    def fileno(self) -> int:
        """The descriptor, borrowed.

        Raises:
            ClosedError: it was closed, or given to a server.
        """
        if self.is_closed:
            raise ClosedError("this listener is closed, or was given to a server")
        return self._core.fd

    async def accept(self) -> Stream:
        """The next client that may enter; waits for one. From `listen_packets` it is a PacketStream.

        Out of descriptors or memory it tries again, at most ten times a second.

        Raises:
            BusyError: another task is accepting; it goes on.
            ClosedError: closed here, before or meanwhile, or given to a server.
            WrongLoopError: another event loop accepts here, or the parent of this process.
            OSError: accept(2) failed for a reason that does not pass.
        """
        pause = 0.0
        while True:
            self._turns += 1
            if self._turns > TURN_EVERY:  # before anybody is taken: if that is cancelled nobody was
                self._turns = 0
                await asyncio.sleep(0)
            try:
                watch = self._joined_watch()
            except OSError as error:
                if classify(error.errno) is not AcceptFailure.SHORTAGE:
                    raise
                pause = next_pause(pause)
                await asyncio.sleep(pause)
                continue
            if is_waiting(watch.reader):
                raise BusyError("another task is accepting on this listener", hint="one at a time")
            sock, name = await self._next_client(watch)
            if self._may_enter(sock):
                return self._make_stream(sock, name)
            sock.close()

    async def _next_client(self, watch: Watch) -> tuple[SocketType, str | bytes]:
        pause = 0.0
        while True:
            self.fileno()
            try:
                return self._core.accept_named()
            except BlockingIOError:
                await self._wait_for_client(watch)
            except OSError as error:
                failure = classify(error.errno)
                if failure is AcceptFailure.FAULT:
                    raise
                if failure is AcceptFailure.SHORTAGE:
                    pause = next_pause(pause)
                    await self._wait_for_descriptors(watch, pause)

    def _may_enter(self, sock: SocketType) -> bool:
        if not self._rules:
            return True
        try:
            peer, decision = decide(self._rules, sock)
        except BaseException:
            sock.close()
            raise
        if decision.admitted:
            return True
        self.refused += 1
        if self._observer is not None:
            self._observer(Refused(self._core.fd, peer, decision.reason))
        return False

    async def _wait_for_client(self, watch: Watch) -> None:
        if self._hub is not None and not watch.mask & READABLE:
            self._hub.arm(watch, READABLE)
        self._turns = 0
        await watch.reader

    async def _wait_for_descriptors(self, watch: Watch, seconds: float) -> None:
        if self._hub is not None:
            self._hub.forget(watch)  # somebody is there, and would wake us at once
        timer = asyncio.get_running_loop().call_later(seconds, watch.reader.wake)
        try:
            await watch.reader
        finally:
            timer.cancel()

    def _joined_watch(self) -> Watch:
        self.fileno()
        loop = asyncio.get_running_loop()
        if self._watch is None:
            watch = Watch(self._core.ready_fd, loop)  # may fail, and so may the hub: then nothing was joined
            hub = Hub.of(loop)
            hub.join()
            self._hub, self._watch, self._loop = hub, watch, loop
        if self._loop is not loop:
            raise _wrong_loop()
        return self._watch

    def _make_stream(self, sock: SocketType, name: str | bytes) -> Stream:
        self._accepted += 1
        try:
            channel = self._make_channel(sock)
            channel.note_peer()
            if self._observer is not None:
                self._observer(Accepted(channel.fd, self._core.fd, channel.connection, channel.peer))
            make: type[Stream] | type[PacketStream] = Stream
            if self._core.type == SOCK_SEQPACKET:
                from .packets import PacketStream

                make = PacketStream
            stream = make(
                channel,
                self._core.address,
                name,
                loop=asyncio.get_running_loop(),
                accept_fds=self._accept_fds,
                send_timeout=self._send_timeout,
                observer=self._observer,
                opened_at=f"an accept on {self._core.address}",
            )
        except BaseException:
            sock.close()
            raise
        return cast(Stream, stream)  # `listen_packets` says of its own what it is

    def _make_channel(self, sock: SocketType) -> Channel:
        if self._core.is_stream:
            sock.setsockopt(SOL_SOCKET, SO_OOBINLINE, 1)  # else an out-of-band byte is silently lost
        if self._observer is not None:
            return TracedChannel(sock, self._accepted, observer=self._observer, owned=False)
        refuses = self._core.refuses_fds and not self._accept_fds
        return Channel(sock, self._accepted) if refuses else DiscardingChannel(sock, self._accepted)

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> Stream:
        try:
            return await self.accept()
        except ClosedError:
            raise StopAsyncIteration from None

    def _take(self) -> BoundListener:
        """The listener below, for a server; this one is closed from now on.

        Raises:
            BusyError: a task is accepting. ClosedError: it is closed. WrongLoopError: another loop accepts on it.
        """
        self._must_be_free()
        self._leave_hub()
        self._is_given = True
        return self._core

    def _must_be_free(self) -> None:
        """Could it be taken?

        Raises:
            BusyError, WrongLoopError, ClosedError: as `_take`, which does not fail then.
        """
        self.fileno()
        self._must_be_here()
        if self._watch is not None and is_waiting(self._watch.reader):
            raise BusyError(
                "a task is accepting on this listener", hint="a server accepts by itself: cancel it first"
            )

    def close(self) -> None:
        """Remove the path, if it is still ours, and close; idempotent. Who is accepting gets ClosedError.

        Clients in the backlog get a reset: a server is stopped in a better order.

        Raises:
            WrongLoopError: from another thread than that of the loop that accepts; it stays open.
        """
        if not self.is_closed:
            self._must_be_here()
            self._leave_hub()
            self._core.close()

    def _must_be_here(self) -> None:
        """In the loop that accepts, or while it does not run, or in a forked child, which may only close."""
        hub, loop = self._hub, self._loop
        if hub is None or loop is None or not hub.is_ours:
            return
        if loop.is_running() and _get_running_loop() is not loop:
            raise _wrong_loop()

    def _leave_hub(self) -> None:
        hub, watch = self._hub, self._watch
        if hub is not None and watch is not None:
            self._hub = self._watch = None
            hub.forget(watch)
            watch.reader.wake_soon()
            hub.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        await asyncio.sleep(0)

    def __del__(self) -> None:
        try:
            is_closed = self.is_closed
        except AttributeError:
            return  # it was never made
        if is_closed:
            return
        where = f", opened at {self._opened_at}" if self._opened_at else ""
        try:
            warnings.warn(f"unclosed {self!r}{where}", ResourceWarning, source=self, stacklevel=2)
        finally:  # a warning may be an error
            self._close_forgotten()

    def _close_forgotten(self) -> None:
        try:
            self.close()
        except WrongLoopError:  # collected in another thread
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self.close)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"fd={self._core.fd}"
        return f"<afunix.{type(self).__name__} {quote(str(self.address))} {state}>"


def _wrong_loop() -> WrongLoopError:
    return WrongLoopError("this listener belongs to another event loop, or to the parent of this process")
