"""A listening socket as an `anyio.abc.SocketListener`, on asyncio and on trio.

Unlike anyio's own it steals nobody's address and removes its path (`kernel.listener`), and outlives a shortage of
descriptors: clients wait in the backlog, which is told once.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from socket import SOCK_STREAM, SocketType
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketListener, TaskGroup
from anyio.lowlevel import checkpoint

from ..kernel import activation
from ..kernel.dial import prepare
from ..kernel.listener import Listener as BoundListener
from ..kernel.socket_types import type_word
from ..model.acceptance import AcceptFailure, classify, next_pause
from ..model.address import Address, AddressKind
from ..model.errors import BusyError, ClosedError, WrongTypeError, errno_name
from ..model.escaping import quote
from ..model.events import AcceptPaused, AcceptResumed, Event, Observer
from .anyio_stream import Stream, stream_on
from .anyio_waiting import as_anyio_says


class Listener(SocketListener):
    """Waits for clients on one address. `listen` makes it.

    Owns its socket, and the path if it bound it, until it is closed; use it with `async with`. One task accepts at a
    time. Not thread-safe.
    """

    def __init__(
        self,
        core: BoundListener,
        *,
        accept_fds: int = 0,
        send_timeout: float | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Not for users: see `listen`."""
        if core.type != SOCK_STREAM:
            found = f"a {type_word(core.type)} socket"
            raise WrongTypeError(
                f"{quote(core.address.format())} is {found}, expected one of streams (EPROTOTYPE)"
            )
        self._core = core
        self._name = core.socket.getsockname()
        self._observer = observer or _log
        self._accept_fds = accept_fds
        self._send_timeout = send_timeout
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
        listener = inherited(Address(AddressKind.INHERITED, str(fd).encode()))
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
        """The next client; waits for one. A cancelled accept takes none.

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
                sock = self._core.accept()
            except BlockingIOError:
                await self._wait()
            except OSError as error:
                await self._after(error)
            else:
                self._shortage_is_over()
                return self._make_stream(sock)

    def _make_stream(self, sock: SocketType) -> Stream:
        try:
            prepare(sock, takes_descriptors=self._accept_fds > 0)
        except BaseException:
            sock.close()
            raise
        return stream_on(sock, self._accept_fds, self._send_timeout)

    async def _wait(self) -> None:
        try:
            await anyio.wait_readable(self._core.fd)
        except anyio.ClosedResourceError:
            raise ClosedError("this listener is closed") from None

    async def _after(self, error: OSError) -> None:
        failure = classify(error.errno)
        if failure is AcceptFailure.FAULT:
            raise anyio.BrokenResourceError(f"accept failed ({errno_name(error.errno)})") from error
        if failure is AcceptFailure.SHORTAGE:
            if not self._pause_s:
                reason = f"{error.strerror} ({errno_name(error.errno)})"
                self._observer(AcceptPaused(self._core.fd, error.errno or 0, reason))
            self._pause_s = next_pause(self._pause_s)
            await anyio.sleep(self._pause_s)

    def _shortage_is_over(self) -> None:
        if self._pause_s:
            self._pause_s = 0.0
            self._observer(AcceptResumed(self._core.fd))

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
            if self._is_accepting:
                anyio.notify_closing(self._core.fd)
            self._core.close()

    async def aclose(self) -> None:
        """`close`, then a checkpoint. The listener is closed also if this is cancelled."""
        self.close()
        await checkpoint()


def inherited(
    address: Address,
    *,
    accept_fds: int = 0,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> Listener:
    """A Listener on the socket of `fd:3` or `fd:NAME`. When this fails the descriptor stays open, and whose it was."""
    sock = activation.take(address)
    try:
        core = BoundListener.take(Address.from_kernel(sock.getsockname()), sock, observer=observer)
        return Listener(core, accept_fds=accept_fds, send_timeout=send_timeout, observer=observer)
    except BaseException:
        sock.detach()
        raise


def _log(event: Event) -> None:
    level = logging.WARNING if isinstance(event, AcceptPaused) else logging.INFO
    logging.getLogger("afunix").log(level, "%r", event)


async def _handle(handler: Callable[[Stream], Any], stream: Stream) -> None:
    async with stream:
        await handler(stream)
