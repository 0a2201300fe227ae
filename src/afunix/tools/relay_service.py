"""One run of `relay`: an acceptor and pairs on one loop, until a signal, a deadline, or an accept that fails.

What it is made of is chosen once (`relay_means`); then it only passes on what happens. How it ends is `stop`'s; what may
not be asked for at all is `relay`'s.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

from ..kernel.channel import Channel
from ..kernel.listener import Listener
from ..kernel.pipes import PipePool
from ..kernel.relay_trail import RelayTrail
from ..kernel.tcp import is_tcp
from ..model.address import Address
from ..model.errors import AddressError
from ..model.escaping import quote
from ..model.events import Closed, Observer, PairFailed, PeerReset, ResetPassedOn, Stopping, WentIdle
from ..model.framing import PieceEnd
from ..model.service_status import Crowd
from ..sinks.datagram_relay import DatagramRelay
from ..sinks.relay import Relay
from ..streams.acceptor import Acceptor
from ..streams.duplex import Duplex
from ..streams.farewell import Break
from ..streams.idle import IdleWatch
from ..streams.service_manager import ServiceManager
from ..streams.signals import watch_signals
from .relay_means import channels_for, make_far_end, pumps_for
from .relay_settings import RelayResult, RelaySettings
from .settings import Cause
from .stop import Stop
from .watching import Watching, break_of

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

LOOK_EVERY_S = 1.0


class RelayService:
    """One run of `relay` on one loop. The listeners are their owner's, but for the names, which go at the stop."""

    def __init__(
        self,
        settings: RelaySettings,
        listeners: list[Listener],
        loop: asyncio.AbstractEventLoop,
        max_clients: int,
        observer: Observer | None,
        alerts: Observer | None,
        on_unreachable: Callable[[Channel, Exception], None],
        *,
        on_pair_over: Callable[[int, int, int], None],
        on_look: Callable[[Relay | DatagramRelay], None] | None = None,
        watching: Watching | None = None,
        is_transparent: bool = False,
        place: Address | None = None,
    ) -> None:
        """`is_transparent`: nothing of ours is to be seen by the server, not even that it is a relay; so no circle is
        found that goes through another relay. `place` is where clients find us, if not where the listeners are bound.
        """
        self._settings = settings
        self._watching = watching
        self._is_stopping = False
        self._listeners = listeners
        self._loop = loop
        self._observer = observer
        self._on_unreachable = on_unreachable
        self._tell_pair_over = on_pair_over
        self._on_look = on_look
        self._alerts = alerts
        for listener in listeners:
            listener.alerts = alerts
        if settings.pass_fds:
            for listener in listeners:
                listener.let_descriptors_in()
        self._result = RelayResult()
        places = [each.address for each in listeners] if place is None else [place]
        self._manager = ServiceManager(loop, [*map(str, places)], self._crowd)
        self._pool = PipePool()
        self._trail = None if is_transparent else RelayTrail()
        self._own_clients = 0  # connections of ours to ourselves that wait to be accepted, closed already
        self._endpoint = make_far_end(settings, listeners, self._trail, observer, alerts)
        self._is_dgram = listeners[0].type == socket.SOCK_DGRAM
        self._relay = self._make_datagram_relay(max_clients) if self._is_dgram else self._make_relay()
        self._acceptor = Acceptor(
            [] if self._is_dgram else listeners,
            self._on_channel,
            loop,
            rules=settings.rules,
            max_clients=max_clients,
            max_per_user=settings.max_per_user,
            make_channel=channels_for(settings, observer),
            on_fault=self._on_accept_fault,
            observer=observer,
            alerts=alerts,
        )
        self._stop = Stop(
            loop,
            self._acceptor,
            listeners,
            self._relay,
            drain_s=settings.drain_s,
            on_finished=self._on_finished,
            on_end=self._on_end,
        )
        self._idle: IdleWatch[Duplex] | None = None
        if settings.idle_timeout_s is not None:
            self._idle = IdleWatch(
                loop, settings.idle_timeout_s, loop.time, self._relay.connected, self._on_idle
            )

    # What it is made of

    def _make_relay(self) -> Relay:
        settings = self._settings
        return Relay(
            self._endpoint,
            pumps_for(settings, self._listeners, self._endpoint, self._pool, self._watching),
            self._loop,
            on_finished=self._tell_finished,
            on_freed=self._on_freed,
            on_unreachable=self._on_turned_away,
            check=self._check,
            on_over=self._on_pair_over,
            on_broken=self._on_broken,
            on_shortage=self._on_shortage,
            on_relief=lambda: self._acceptor.let_go(),
            clock=self._loop.time if settings.idle_timeout_s is not None else None,
        )

    def _make_datagram_relay(self, max_clients: int) -> DatagramRelay:
        settings = self._settings
        return DatagramRelay(
            self._listeners,
            settings.connect,
            self._loop,
            rules=settings.rules,
            max_senders=max_clients,
            passes_fds=settings.pass_fds,
            silence_s=settings.idle_timeout_s,
            on_unreachable=self._on_turned_away,
            alerts=self._alerts,
        )

    def _check(self, near: Channel, far: Channel) -> None:
        """Is the server at the far end this very relay? That is seen when a connection is made, not before."""
        if any(far.leads_to(listener.socket) for listener in self._listeners):
            self._own_clients += 1
            self._tell_closed(far)
            raise AddressError(
                f"{quote(str(self._settings.connect))} leads back to this relay",
                hint="the second address is the server's",
            )

    # Run

    def run(
        self,
        on_ready: Callable[[list[Listener], Relay | DatagramRelay], None],
        take_signals: Callable[[], object],
    ) -> RelayResult:
        self._loop.set_exception_handler(self._on_fault)
        watch_signals(self._loop, STOP_SIGNALS, self._on_signal)
        take_signals()
        if self._settings.timeout_s is not None:
            self._loop.call_later(self._settings.timeout_s, self._on_timeout)
        try:
            if isinstance(self._relay, DatagramRelay):
                self._relay.start()
            self._acceptor.start()
            on_ready(self._listeners, self._relay)
            self._manager.ready()
            self._look()
            self._loop.run_forever()
        finally:
            self._close()
        self._result.served = self._acceptor.accepted
        return self._result

    def _look(self) -> None:
        if self._on_look is not None:
            self._on_look(self._relay)
            self._loop.call_later(LOOK_EVERY_S, self._look)

    def _crowd(self) -> Crowd | None:
        return None if self._is_dgram else Crowd(self._acceptor.live, self._acceptor.accepted)

    def _close(self) -> None:
        self._manager.close()
        if self._idle is not None:
            self._idle.close()
        self._stop.close()
        self._acceptor.close()
        self._result.moved = self._relay.pairs.traffic()
        if isinstance(self._relay, Relay):
            for duplex in self._relay.connected():
                self._tell_closed(duplex.far, duplex.near)
        self._relay.close()
        self._result.bytes_lost += self._endpoint.bytes_lost
        self._loop.run_until_complete(self._relay.wait_closed())
        self._pool.close()
        self._result.left_behind = self._stop.left_behind
        self._result.turned_away = self._stop.turned_away

    # What happens

    def _on_channel(self, channel: Channel) -> None:
        if self._own_clients and channel.peer.pid == os.getpid():
            self._own_clients -= 1
            self._on_finished(channel, PieceEnd.EOF)
            channel.close()
            return
        try:
            if self._trail is not None:
                self._trail.must_be_new(channel, self._settings.connect, self._tcp_ends())
        except AddressError as error:
            self._on_turned_away(channel, error)
            self._on_finished(channel, PieceEnd.EOF)
            channel.close()
            return
        if self._idle is not None:
            self._idle.wake()
        if self._watching is not None:
            self._watching.opened(channel)
        self._manager.changed()
        self._relay.on_channel(channel)

    def _tcp_ends(self) -> Iterator[socket.SocketType]:
        far_ends = (pair.far.socket for pair in self._relay.connected())
        return (sock for sock in far_ends if is_tcp(sock))

    def _on_pair_over(self, duplex: Duplex) -> None:
        if self._watching is not None:
            self._watching.over(duplex.near, *break_of(duplex))
        self._tell_closed(duplex.far)
        self._tell_pair_over(duplex.near.connection, duplex.up.moved, duplex.down.moved)

    def _on_turned_away(self, channel: Channel, error: Exception) -> None:
        self._result.unreachable += 1
        if self._watching is not None:
            self._watching.over(channel, error)
        self._on_unreachable(channel, error)

    def _on_shortage(self, error: Exception) -> None:
        self._pool.close()
        self._acceptor.hold(error)

    def _on_finished(self, channel: Channel, end: PieceEnd) -> None:
        self._tell_finished(channel, end)
        self._on_freed(channel)

    def _tell_finished(self, channel: Channel, end: PieceEnd) -> None:
        if self._observer is not None:
            if end is PieceEnd.RESET:
                self._observer(PeerReset(channel.fd, channel.connection))
            self._observer(Closed(channel.fd, channel.connection, channel.bytes_received, channel.bytes_sent))

    def _on_freed(self, channel: Channel) -> None:
        self._acceptor.release(channel)
        self._manager.changed()
        if self._stop.has_begun:
            self._loop.call_soon(self._stop.go_on)

    def _tell_closed(self, *channels: Channel) -> None:
        """Ends that are closed now, of which `_on_finished` does not tell."""
        if self._observer is not None and self._settings.is_traced:
            for channel in channels:
                received, sent = channel.bytes_received, channel.bytes_sent
                self._observer(Closed(channel.fd, 0, received, sent))

    def _on_broken(self, broken: Break) -> None:
        error = broken.error
        if self._alerts is not None and not isinstance(error, ConnectionError):
            origin, reason = broken.origin, error.strerror or str(error)
            self._alerts(PairFailed(origin.fd, origin.connection, error.errno or 0, reason))
        if self._observer is not None:
            origin, other, number = broken.origin, broken.other, broken.error.errno or 0
            self._observer(
                ResetPassedOn(other.fd, origin.connection, origin.fd, number, is_tcp(other.socket))
            )

    def _on_idle(self, duplex: Duplex) -> None:
        if self._observer is not None:
            limit_s = self._settings.idle_timeout_s or 0.0
            self._observer(WentIdle(duplex.near.fd, duplex.near.connection, limit_s))
        self._relay.drop(duplex, PieceEnd.EOF)

    def _on_accept_fault(self, error: OSError) -> None:
        self._result.error = error
        self._begin_stop(Cause.ACCEPT_FAILED, "accept")
        self._result.cause = Cause.ACCEPT_FAILED

    def _on_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What no callback expected: end with it, for going on could be a spin. The first one is the cause."""
        fault = context.get("exception")
        if self._result.fault is None:
            self._result.fault = fault if isinstance(fault, Exception) else RuntimeError(context["message"])
            self._result.cause = Cause.FAULT
        self._stop.give_up()

    def _on_signal(self, number: signal.Signals) -> None:
        """The first stops, or ends the draining; the second ends all, or the draining, if that has no end of its own."""
        is_first = not self._result.signal_number
        self._result.signal_number = number
        if not self._is_stopping:
            self._begin_stop(Cause.SIGNAL, number.name)
        elif is_first or (self._settings.drain_s == math.inf and not self._stop.is_ending):
            self._end_drain()
        else:
            self._result.cause = Cause.SIGNAL
            self._result.is_forced = True
            self._stop.give_up()

    def _on_timeout(self) -> None:
        self._begin_stop(Cause.TIMEOUT, "--timeout")
        self._end_drain()

    def _end_drain(self) -> None:
        if self._watching is not None and not self._watching.may_stop_now():
            self._stop.give_up()  # and our listener is only closed
            return
        self._begin_now()
        self._stop.end_drain()

    def stop(self, words: str) -> None:
        """As by a signal, for a reason of our own; idempotent."""
        self._begin_stop(Cause.OWN_REASON, words)

    def _begin_stop(self, cause: Cause, words: str) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        self._result.cause = cause
        self._result.connected = self._acceptor.live
        if self._observer is not None:
            self._observer(Stopping(-1, words))
        self._manager.stopping(words)
        if self._watching is not None:
            self._watching.before_stop(self._begin_now)
        else:
            self._begin_now()

    def _begin_now(self) -> None:
        if not self._stop.has_begun:
            self._stop.begin()

    def _on_end(self, bytes_lost: int) -> None:
        self._result.bytes_lost = bytes_lost
        self._loop.stop()
