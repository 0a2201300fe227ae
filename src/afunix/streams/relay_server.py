"""The server that `relay` makes: each client gets a connection of its own, and a pair of pumps.

Who comes in, what is counted and how it stops is `server`'s: a client's task makes its connection, hands both sockets
to a `duplex` and waits until the pair is over. What passes does not go through the task; the pumps are those of
`tools.relay`. What a program may ask for is not known here: it is checked before.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, cast

from ..kernel import dial
from ..kernel.ancillary import MAX_FDS
from ..kernel.channel import Channel
from ..kernel.dialling import Dialling
from ..kernel.fallbacks import is_forced
from ..kernel.listener import Listener as BoundListener
from ..kernel.listener import Ownership
from ..kernel.peercred import can_refuse_descriptors
from ..kernel.pipes import PipePool
from ..kernel.relay_pumps import (
    Pumps,
    copying_pumps,
    descriptor_pumps,
    record_pumps,
    refusing_pumps,
    splicing_pumps,
)
from ..kernel.relay_trail import RelayTrail
from ..kernel.requirement import Requirement
from ..kernel.socket_types import number_of, type_word
from ..kernel.traced_channel import TracedChannel
from ..model.acceptance import AcceptFailure, classify, next_pause
from ..model.address import Address
from ..model.errors import AddressError, WrongTypeError
from ..model.escaping import quote
from ..model.events import Closed, Observer, ResetPassedOn
from ..model.rules import Rules
from . import hub
from .attending import AttendSettings
from .duplex import Duplex
from .duplex_set import DuplexSet
from .farewell import break_of
from .lobby import has_left
from .server import Server
from .server_listeners import Addressed
from .shutdown import Shutdown
from .stream import Stream


def leads_back(upstream: Address) -> AddressError:
    """A relay whose clients would be relayed to itself."""
    return AddressError(
        f"{quote(str(upstream))} leads back to this relay", hint="the second address is the server's"
    )


class Pair(Duplex):
    """A client and its connection. `over` is done when nothing moves any more and both sockets are closed."""

    __slots__ = ("client", "over", "pairs")

    def __init__(
        self, client: RelayedStream, far: Channel, pumps: Pumps, pairs: DuplexSet, over: asyncio.Future[None]
    ) -> None:
        super().__init__(client._channel, far, *pumps)
        self.client = client
        self.pairs = pairs
        self.over = over


class RelayedStream(Stream):
    """A client of a relay: closing it ends its pair. Nobody receives or sends by it."""

    __slots__ = ("pair",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pair: Pair | None = None

    @property
    def _is_waited_for(self) -> bool:
        """Here it is always both ends that we wait for."""
        return self.pair is not None

    def close(self) -> None:
        if self.pair is not None:
            self._must_be_here()
            pair, self.pair = self.pair, None
            if self._generation == hub.forks:
                pair.pairs.end(pair)
            else:
                pair.pairs.close_copies()
        super().close()


class RelayServer(Server):
    """The Server that `relay` makes: its handler is its own."""

    def __init__(
        self,
        addresses: Sequence[Addressed],
        upstream: Address,
        dialling: Callable[..., Dialling],
        ownership: Callable[[], Ownership],
        *,
        socket_type: str | None,
        requirement: Requirement | None,
        max_clients: int | None,
        idle_timeout: float | None,
        pass_fds: bool,
        backlog: int | None,
        rules: Rules | None,
        max_per_user: int | None,
        observer: Observer | None,
    ) -> None:
        """Not for users: see `relay`."""
        super().__init__(
            self._relay,
            addresses,
            ownership,
            AttendSettings(
                max_clients,
                idle_timeout=idle_timeout,
                accept_fds=MAX_FDS if pass_fds else 0,
                kind=RelayedStream,
            ),
            backlog=backlog,
            rules=rules,
            max_per_user=max_per_user,
            observer=observer,
        )
        if socket_type is not None:
            self._types = (socket_type,)
        self._upstream = upstream
        self._dialling = dialling
        self._requirement = requirement
        self._passes_fds = pass_fds
        self._pool = PipePool()
        self._pairs: DuplexSet | None = None
        self._short: set[Stream] = set()
        self._trail = RelayTrail()
        self._own_clients = 0  # connections of ours to ourselves that wait to be accepted, closed already

    # Life

    def _put_together(
        self, listeners: list[BoundListener], loop: asyncio.AbstractEventLoop, observer: Observer | None
    ) -> Shutdown:
        for listener in listeners:
            self._must_be_of_our_type(listener)
        shutdown = super()._put_together(listeners, loop, observer)
        self._told = observer
        self._refuses_fds = can_refuse_descriptors() and all(each.refuses_fds for each in listeners)
        self._bound = [listener.socket for listener in listeners]
        self._pairs = DuplexSet(loop, self._on_over, stays=False)
        return shutdown

    def _must_be_of_our_type(self, listener: BoundListener) -> None:
        if listener.type not in map(number_of, self._types):
            raise WrongTypeError(
                f"the socket on {listener.address} is of type {type_word(listener.type)}, expected {self._types[0]}"
            )

    def _take_apart(self) -> None:
        super()._take_apart()
        if self._pairs is not None:
            self._pairs.close()
            self._pairs = None

    def abort(self) -> None:
        super().abort()
        if self._pairs is not None and self._shutdown is not None:
            if self._shutdown.is_ours:
                self._pairs.close()
            else:
                self._pairs.close_copies()
            self._pool.close()

    def _failure_reporter(self, loop: asyncio.AbstractEventLoop) -> Callable[[Stream, BaseException], None]:
        def report(stream: Stream, error: BaseException) -> None:
            where, there = quote(str(stream.local_address)), quote(str(self._upstream))
            words = f"a client of {where} was closed, which is relayed to {there}"
            # Where it was raised is nothing that a user of a relay has written.
            loop.call_exception_handler({"message": words, "exception": error.with_traceback(None)})

        return report

    # One client

    async def _relay(self, client: RelayedStream) -> None:
        if self._own_clients and client.peer.pid == os.getpid():
            self._own_clients -= 1
            return
        self._trail.must_be_new(client._channel, self._upstream, ())
        sock = await self._get_connection(client)
        if sock is None:
            return
        pair = self._pair(client, sock)
        await pair.over
        error = pair.error
        if error is not None and not isinstance(error, ConnectionError):
            raise error  # it could not be passed on; that an end broke concerns only the other one

    async def _get_connection(self, client: RelayedStream) -> socket.SocketType | None:
        """A connection for `client`; None if it leaves while it waits."""
        pause_s = 0.0
        try:
            while True:
                try:
                    return await self._connect(client)
                except OSError as error:
                    if classify(error.errno) is not AcceptFailure.SHORTAGE:
                        raise
                    self._hold(client, error)
                if has_left(client._channel):
                    return None
                pause_s = next_pause(pause_s)
                await asyncio.sleep(pause_s)
        finally:
            self._let_go(client)

    async def _connect(self, client: RelayedStream) -> socket.SocketType | None:
        channel = client._channel
        dialling = self._dialling(
            type_word(channel.socket.type),
            observer=self._told,
            clock=self._loop.time,
            prepare=lambda sock: self._trail.name(sock, channel, self._told),
        )
        with closing(dialling.steps()) as steps:
            while True:
                try:
                    pause = next(steps)
                except StopIteration as connected:
                    return self._approved(connected.value)
                if has_left(channel):
                    return None
                await asyncio.sleep(pause.seconds)

    def _approved(self, sock: socket.SocketType) -> socket.SocketType:
        """Is it who it must be? A connection to somebody else is closed."""
        if self._requirement is not None:
            try:
                self._requirement.check(sock, self._upstream)
            except BaseException:
                dial.close_socket(sock, self._told)
                raise
        return sock

    def _hold(self, client: RelayedStream, error: OSError) -> None:
        """Nobody is accepted who would take what is given back."""
        self._short.add(client)
        self._pool.close()
        self._acceptor.hold(error)

    def _let_go(self, client: RelayedStream) -> None:
        if client in self._short:
            self._short.remove(client)
            if not self._short:
                self._acceptor.let_go()

    # One pair

    def _pair(self, client: RelayedStream, sock: socket.SocketType) -> Pair:
        pairs = self._pairs
        assert pairs is not None
        far = self._make_far(sock, client._channel.connection)
        try:
            if any(far.leads_to(listener) for listener in self._bound):
                self._own_clients += 1
                raise leads_back(self._upstream)
            pair = Pair(client, far, self._pumps(client._channel, far), pairs, self._loop.create_future())
            pairs.add(pair)
        except BaseException:
            self._close_far(far)
            raise
        client.pair = pair
        pairs.start(pair)
        return pair

    def _make_far(self, sock: socket.SocketType, connection: int) -> Channel:
        if self._told is None:
            return Channel(sock, connection)
        return TracedChannel(sock, connection, observer=self._told, owned=False)

    def _pumps(self, near: Channel, far: Channel) -> Pumps:
        if near.socket.type != socket.SOCK_STREAM:
            return record_pumps(self._passes_fds, near, far)
        if self._passes_fds:
            return descriptor_pumps(near, far)
        if not self._refuses_fds:
            return refusing_pumps(near, far)
        if self._told is not None or is_forced("splice"):
            return copying_pumps(near, far)
        return splicing_pumps(self._pool, near, far)

    def _on_over(self, duplex: Duplex) -> None:
        pair = cast(Pair, duplex)
        broken = break_of(pair)
        if broken is not None and self._told is not None:
            origin, other, number = broken.origin, broken.other, broken.error.errno or 0
            self._told(ResetPassedOn(other.fd, origin.connection, origin.fd, number, is_reset=False))
        self._close_far(pair.far)
        pair.client.close()
        if not pair.over.done():
            pair.over.set_result(None)

    def _close_far(self, far: Channel) -> None:
        fd = far.fd
        far.close()
        if self._told is not None:
            self._told(Closed(fd, far.connection, far.bytes_received, far.bytes_sent))
