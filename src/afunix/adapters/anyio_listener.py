"""A listening socket as an `anyio.abc.SocketListener`, on asyncio and on trio.

Unlike anyio's own it steals nobody's address and removes its path (`kernel.listener`), and outlives a shortage of
descriptors: clients wait in the backlog, which is told once.
"""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from socket import SOCK_STREAM, SocketType
from typing import Any, NamedTuple

import anyio
from anyio.abc import SocketAttribute, SocketListener, TaskGroup
from anyio.lowlevel import checkpoint

from ..kernel.dial import prepare
from ..kernel.listener import Listener as BoundListener
from ..kernel.origin import caller
from ..kernel.requirement import decide
from ..kernel.socket_types import type_word
from ..model.acceptance import AcceptFailure, classify, next_pause
from ..model.address import Address, AddressKind
from ..model.errors import BusyError, ClosedError, WrongTypeError, errno_name
from ..model.escaping import quote
from ..model.events import Accepted, AcceptPaused, AcceptResumed, Event, Observer, Refused
from ..model.rules import Rules
from ..streams.log_observer import default_observer
from .anyio_stream import Stream, stream_on
from .anyio_waiting import as_anyio_says

_TURN_EVERY = 64
"""So many clients who are refused one after the other, and others get a turn."""


class Manner(NamedTuple):
    """How a Listener treats clients, and whom it tells: `observer` of everything, `alerts` of a shortage."""

    rules: Rules | None = None
    accept_fds: int = 0
    send_timeout: float | None = None
    observer: Observer | None = None
    alerts: Observer | None = None
    opened_at: str | None = None


class Listener(SocketListener):
    """Waits for clients on one address. `listen` makes it.

    Owns its socket, and the path if it bound it, until it is closed; use it with `async with`. One that is forgotten
    warns (ResourceWarning). One task accepts at a time. `refused` counts those whom the rules did not let in. Not
    thread-safe.
    """

    def __init__(self, core: BoundListener, manner: Manner) -> None:
        """Not for users: see `listen`."""
        if core.type != SOCK_STREAM:
            found = f"a {type_word(core.type)} socket"
            raise WrongTypeError(
                f"{quote(core.address.format())} is {found}, expected one of streams (EPROTOTYPE)"
            )
        self._name = core.socket.getsockname()
        if manner.accept_fds:
            core.let_descriptors_in()
        self._waited_fd = -1
        self._core = core  # last of what can fail: what failed before owns nothing
        self._manner = manner
        self._rules = manner.rules or Rules()
        self._alert = manner.alerts or _log
        self._accepted = 0
        self.refused = 0
        self._is_accepting = False
        self._pause_s = 0.0

    @classmethod
    async def from_socket(cls, sock_or_fd: socket.socket | int) -> Listener:
        """A listener on a socket that somebody else bound and listens on; it owns the descriptor from then on.

        Closing it closes the descriptor and no more. `listen` takes what `afunix.systemd.listeners` returns.

        Raises:
            AddressError: no Unix socket, or one that does not listen. WrongTypeError: of another type than stream. It
                stays the caller's.
        """
        await checkpoint()
        fd = sock_or_fd if isinstance(sock_or_fd, int) else sock_or_fd.fileno()
        manner = Manner(observer=default_observer(), opened_at=caller())
        listener = inherited(Address(AddressKind.INHERITED, str(fd).encode()), manner)
        if not isinstance(sock_or_fd, int):
            sock_or_fd.detach()
        return listener

    @property
    def address(self) -> Address:
        """What it is bound to."""
        return self._core.address

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """anyio's SocketAttribute: family, local_address (as the kernel has it) and raw_socket."""
        return {
            SocketAttribute.family: lambda: socket.AF_UNIX,
            SocketAttribute.local_address: lambda: self._name,
            SocketAttribute.raw_socket: lambda: self._raw_socket,
        }

    @property
    def _raw_socket(self) -> socket.socket:
        return self._core.socket

    async def accept(self) -> Stream:
        """The next client that may enter; waits for one. A cancelled accept takes none (of an inherited listener that blocks
        see `afunix.listen`).

        Out of descriptors or memory it tries again, five times a second.

        Raises:
            BusyResourceError: another task is accepting; it goes on.
            ClosedResourceError: closed here, before or meanwhile.
            BrokenResourceError: accept(2) failed for a reason that does not pass.
        """
        await checkpoint()
        with as_anyio_says("accepting connections from"):
            if self._is_accepting:
                raise BusyError("another task is accepting on this listener", hint="one at a time")
            self._is_accepting = True
            try:
                return await self._next_client()
            finally:
                self._is_accepting = False

    async def _next_client(self) -> Stream:
        while True:
            if self._core.fd < 0:
                raise ClosedError("this listener is closed")
            try:
                sock, _ = self._core.accept_named()
            except BlockingIOError:
                await self._wait()
            except OSError as error:
                await self._after(error)
            else:
                self._shortage_is_over()
                if self._admits(sock):
                    return self._make_stream(sock)
                if self.refused % _TURN_EVERY == 0:
                    await checkpoint()

    def _admits(self, sock: SocketType) -> bool:
        """May it enter? Who may not is closed."""
        if not self._rules:
            return True
        try:
            peer, decision = decide(self._rules, sock)
        except BaseException:
            sock.close()
            raise
        if not decision.admitted:
            sock.close()
            self.refused += 1
            if self._manner.observer is not None:
                self._manner.observer(Refused(self._core.fd, peer, decision.reason))
        return decision.admitted

    def _make_stream(self, sock: SocketType) -> Stream:
        manner = self._manner
        try:
            prepare(sock, takes_descriptors=manner.accept_fds > 0)
        except BaseException:
            sock.close()
            raise
        self._accepted += 1
        stream = stream_on(
            sock,
            manner.accept_fds,
            manner.send_timeout,
            observer=manner.observer,
            opened_at=f"an accept on {self.address}",
            connection=self._accepted,
        )
        if manner.observer is not None:
            manner.observer(Accepted(stream.fileno(), self._core.fd, self._accepted, stream.peer))
        return stream

    async def _wait(self) -> None:
        self._waited_fd = self._core.ready_fd
        try:
            await anyio.wait_readable(self._waited_fd)
        except anyio.ClosedResourceError:
            raise ClosedError("this listener is closed") from None
        finally:
            self._waited_fd = -1

    async def _after(self, error: OSError) -> None:
        failure = classify(error.errno)
        if failure is AcceptFailure.FAULT:
            raise anyio.BrokenResourceError(f"accept failed ({errno_name(error.errno)})") from error
        if failure is AcceptFailure.SHORTAGE:
            if not self._pause_s:
                reason = f"{error.strerror} ({errno_name(error.errno)})"
                self._alert(AcceptPaused(self._core.fd, error.errno or 0, reason))
            self._pause_s = next_pause(self._pause_s)
            await anyio.sleep(self._pause_s)

    def _shortage_is_over(self) -> None:
        if self._pause_s:
            self._pause_s = 0.0
            self._alert(AcceptResumed(self._core.fd))

    async def serve(self, handler: Callable[[Any], Any], task_group: TaskGroup | None = None) -> None:
        """Call `await handler(stream)` for each client, in a task of its own; for ever.

        The stream is closed once its handler has ended. The tasks are started in `task_group`, or in one of this
        call's own. As everywhere in anyio a handler that fails cancels the others in the group: one that should
        not catches what it expects.

        Raises:
            As `accept`.
        """
        async with AsyncExitStack() as stack:
            if task_group is None:
                task_group = await stack.enter_async_context(anyio.create_task_group())
            while True:
                stream = await self.accept()
                try:
                    task_group.start_soon(_handle, handler, stream)
                except BaseException:
                    stream.close()
                    raise

    def close(self) -> None:
        """Remove the path, if it is still ours, and close; idempotent. Who is accepting gets ClosedResourceError.

        Clients in the backlog get a reset.
        """
        if self._core.fd >= 0:
            if self._waited_fd >= 0:
                anyio.notify_closing(self._waited_fd)
            self._core.close()

    async def aclose(self) -> None:
        """`close`, then a checkpoint. The listener is closed also if this is cancelled."""
        self.close()
        await checkpoint()

    def __del__(self) -> None:
        try:
            fd = self._core.fd
        except AttributeError:
            return  # it was never made
        if fd < 0:
            return
        where = f", opened at {self._manner.opened_at}" if self._manner.opened_at else ""
        try:
            warnings.warn(f"unclosed {self!r}{where}", ResourceWarning, source=self, stacklevel=2)
        finally:  # a warning may be an error
            self._core.close()

    def __repr__(self) -> str:
        state = "closed" if self._core.fd < 0 else f"fd={self._core.fd}"
        return f"<afunix.adapters.anyio.{type(self).__name__} {quote(str(self.address))} {state}>"


def inherited(address: Address, manner: Manner) -> Listener:
    """A Listener on the socket of `fd:3` or `fd:NAME`. When this fails the descriptor stays open, and whose it was."""
    return Listener(BoundListener.inherit(address, observer=manner.observer), manner)


def _log(event: Event) -> None:
    level = logging.WARNING if isinstance(event, AcceptPaused) else logging.INFO
    logging.getLogger("afunix").log(level, "%r", event)


async def _handle(handler: Callable[[Stream], Any], stream: Stream) -> None:
    async with stream:
        await handler(stream)
