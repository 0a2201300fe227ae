"""A Unix socket as the far end: connected at once where it can be, else waited for like `connect` waits.

The server's type has to be the listener's: bytes become no records. Descriptors are refused by the kernel unless they
are wanted (`takes_descriptors`), so that a splice can lose none. With `as_client` the server sees each client as who it
is (`kernel.as_client`), and what the client may not connect to it cannot be connected to either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from functools import partial
from socket import SocketType
from typing import Any

from ..kernel import dial
from ..kernel.channel import Channel
from ..kernel.dialling import Dialling
from ..kernel.peercred import can_refuse_descriptors
from ..kernel.relay_trail import RelayTrail
from ..model.address import Address
from ..model.events import Connected, Observer


class UnixEndpoint:
    """`wait` seconds for a server that is not there; a full backlog is waited for `timeout` seconds (None: for ever)."""

    def __init__(
        self,
        address: Address,
        socket_type: str = "stream",
        *,
        wait: float | None = None,
        timeout: float | None = None,
        takes_descriptors: bool = False,
        as_client: bool = False,
        make_channel: Callable[[SocketType, int], Channel] = Channel,
        observer: Observer | None = None,
        trail: RelayTrail | None = None,
    ) -> None:
        """`trail` names what is connected, so that a circle of relays is seen."""
        self._address = address
        self._type = socket_type
        self._wait = wait
        self._timeout = timeout
        self._takes_descriptors = takes_descriptors
        self._as_client = as_client
        self._make_channel = make_channel
        self._observer = observer
        self._trail = trail
        self.refuses_fds = not takes_descriptors and can_refuse_descriptors()

    def connect_now(self, near: Channel) -> Channel | None:
        """One attempt. A server that is not there is no error yet where it is to be waited for."""
        sock = dial.open_socket(self._type, self._observer, takes_descriptors=self._takes_descriptors)
        try:
            self._name(near, sock)
            answer = self._runner(near)(lambda: dial.try_connect(sock, self._address))
            if answer:
                dial.close_socket(sock, self._observer)
                return None
            if self._observer is not None:
                self._observer(Connected(sock.fileno(), self._address))
            return self._make_channel(sock, near.connection)
        except BaseException:
            sock.close()
            raise

    async def connect(self, near: Channel) -> Channel:
        dialling = Dialling(
            self._address,
            self._type,
            timeout=self._timeout,
            wait=self._wait,
            takes_descriptors=self._takes_descriptors,
            observer=self._observer,
            clock=asyncio.get_running_loop().time,
            run=self._runner(near),
            prepare=partial(self._name, near),
        )
        with closing(dialling.steps()) as steps:
            try:
                pause = next(steps)
                while True:
                    await asyncio.sleep(pause.seconds)
                    pause = steps.send(None)
            except StopIteration as done:
                sock: SocketType = done.value
        return self._make_channel(sock, near.connection)

    def _name(self, near: Channel, sock: SocketType) -> None:
        if self._trail is not None:
            self._trail.name(sock, near, self._observer)

    def _runner(self, near: Channel) -> Callable[[Callable[[], Any]], Any]:
        if not self._as_client:
            return _run_here
        from ..kernel.as_client import identity_of, run_as

        return partial(run_as, identity_of(near.socket))

    @property
    def bytes_lost(self) -> int:
        return 0

    def close(self) -> None:
        pass


def _run_here(call: Callable[[], Any]) -> Any:
    return call()
