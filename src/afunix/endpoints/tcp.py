"""A TCP port as the far end: the host's addresses in turn, each connected without waiting, until one answers.

No descriptors can come from there, so that bytes may be spliced. Nothing is known of who listens.
"""

from __future__ import annotations

import asyncio
import errno
import math
from collections.abc import Callable
from socket import AddressFamily, SocketType, socket
from typing import Any

from ..kernel import tcp
from ..kernel.channel import Channel
from ..model.address import Address
from ..model.errors import AfunixError
from ..model.events import CallFailed, Closed, Connected, Created, Observer
from ..model.lifecycle import Call
from ..model.patience import Retrying
from ..model.refusal import gave_up
from ..model.tcp_address import host_and_port
from ..model.tcp_refusal import WORTH_WAITING_FOR, no_answer, tcp_refusal
from .looking_up import LookUp

MOVE_ON_S = 5.0
"""How long an address may be silent if the host has another one; the last has as long as there is."""

_BROKE_AFTERWARDS = (errno.ECONNRESET, errno.EPIPE)
"""A connection was made, and reset before we looked: what the server sent first can still be received (tcp_reset in
Linux's tcp_input.c; before it is made a reset is ECONNREFUSED).
"""


class TcpEndpoint:
    """`wait` seconds for a server that refuses, is silent, or whose name is not known yet; `timeout` seconds for
    each connection in all (None: as long as the kernel tries, about two minutes).
    """

    refuses_fds = True

    def __init__(
        self,
        address: Address,
        *,
        wait: float | None = None,
        timeout: float | None = None,
        make_channel: Callable[[SocketType, int], Channel] = Channel,
        observer: Observer | None = None,
    ) -> None:
        self._address = address
        self._wait = wait
        self._timeout = timeout
        self._make_channel = make_channel
        self._observer = observer
        self._names = LookUp(address)

    def connect_now(self, near: Channel) -> Channel | None:
        """None: a connection takes a handshake."""
        return None

    async def connect(self, near: Channel) -> Channel:
        sock = await self.connect_socket()
        try:
            return self._make_channel(sock, near.connection)
        except BaseException:
            sock.close()
            raise

    @property
    def bytes_lost(self) -> int:
        return 0

    def close(self) -> None:
        pass

    async def connect_socket(self) -> socket:
        """The connection as a socket, non-blocking; the caller owns it. Raises as `connect`."""
        clock = asyncio.get_running_loop().time
        retrying = Retrying(clock(), timeout=self._timeout, wait=self._wait)
        last = no_answer(self._address)
        while True:
            try:
                async with asyncio.timeout(_finite(retrying.left(clock()))):
                    return await self._try_all()
            except AfunixError as error:
                if not retrying.retries or error.errno not in WORTH_WAITING_FOR:
                    raise
                last = error
            except TimeoutError:
                pass
            if retrying.is_over(clock()):
                raise gave_up(retrying.limit or 0.0, last) from None
            await asyncio.sleep(retrying.next_pause(clock()))

    async def _try_all(self) -> socket:
        names = await self._names.addresses()
        answers = []
        for place, (family, where) in enumerate(names, 1):
            answer = await self._try(family, where, None if place == len(names) else MOVE_ON_S)
            if isinstance(answer, socket):
                return answer
            answers.append((host_and_port(tcp.address_of(where))[0], answer))
        raise tcp_refusal(self._address, answers)

    async def _try(self, family: int, where: Any, seconds: float | None) -> socket | int:
        """One attempt: the socket, or the errno.

        Raises:
            OSError: out of descriptors, so that there was none.
        """
        try:
            sock = tcp.open_socket(family)
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:
                raise
            return errno.EAFNOSUPPORT
        self._tell_created(sock, family)
        number = 0
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_connect(sock, where)
            if tcp.is_its_own_peer(sock):
                number = errno.ECONNREFUSED
        except OSError as error:
            number = error.errno or errno.ETIMEDOUT
        except BaseException:
            self._close(sock)
            raise
        self._tell_answer(sock, where, number)
        if number and number not in _BROKE_AFTERWARDS:
            self._close(sock)
            return number
        return sock

    def _tell_created(self, sock: socket, family: int) -> None:
        if self._observer is not None:
            family_name = tcp.FAMILY_NAMES[AddressFamily(family)]
            self._observer(Created(sock.fileno(), "SOCK_STREAM", family_name))

    def _tell_answer(self, sock: socket, where: Any, number: int) -> None:
        if self._observer is None:
            return
        fd, address = sock.fileno(), tcp.address_of(where)
        if number and number not in _BROKE_AFTERWARDS:
            self._observer(CallFailed(fd, Call.CONNECT, number, address))
            return
        self._observer(Connected(fd, address))
        if number:
            self._observer(CallFailed(fd, Call.READ, number))

    def _close(self, sock: socket) -> None:
        if self._observer is not None:
            self._observer(Closed(sock.fileno()))
        sock.close()


def _finite(seconds: float | None) -> float | None:
    return None if seconds == math.inf else seconds
