"""The work of `afunix relay LISTEN CONNECT`: every connection to one address goes to the other, for as long as both like.

Values in, events and a RelayResult out. What no relay can be made of is refused before anything is opened. Who is
accepted, and how a run stops, is as for `serve`: the same acceptor, the same order of a stop. How the bytes move,
`relay_service` knows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from ..endpoints.own_loop import Interrupted
from ..kernel import activation
from ..kernel.channel import Channel
from ..kernel.datagram_channel import ask_for_credentials
from ..kernel.limits import raise_descriptor_limit
from ..kernel.listener import Listener
from ..model.address import Address
from ..model.errors import AddressError
from ..model.escaping import quote
from ..model.events import Observer, Stopping
from ..model.relay_misuse import refuse_misuse, refuse_with_datagrams
from ..sinks.datagram_relay import DatagramRelay
from ..sinks.relay import Relay
from .listeners import open_listeners
from .relay_service import STOP_SIGNALS, RelayService
from .relay_settings import RelayResult, RelaySettings

__all__ = ["RelayResult", "RelaySettings", "relay"]


def relay(
    settings: RelaySettings,
    *,
    observer: Observer | None = None,
    alerts: Observer | None = None,
    on_unreachable: Callable[[Channel, Exception], None] = lambda channel, error: None,
    on_unmatched: Callable[[Address, int], None] = lambda address, count: None,
    on_pair_over: Callable[[int, int, int], None] = lambda connection, up, down: None,
    on_ready: Callable[[list[Listener], Relay | DatagramRelay], None] = lambda listeners, relay: None,
    on_look: Callable[[Relay | DatagramRelay], None] | None = None,
) -> RelayResult:
    """Relay until a signal or the time ends it. `on_look(relay)` is called every `relay_service.LOOK_EVERY_S` seconds;
    `on_pair_over(connection, up, down)` with the bytes that were handed on for a client, before it is Closed.

    Raises:
        AfunixError: the listeners cannot be had, both addresses are one, or we may not connect as our clients;
            nothing is left behind.
    """
    activation.watchdog()  # an environment that makes no sense is told before anybody can connect
    max_clients = raise_descriptor_limit() // 2 if settings.max_clients is None else settings.max_clients
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        _refuse_itself(settings)
        refuse_misuse(settings.listen, settings.connect, settings.wishes)
        if settings.as_client:
            from ..kernel.as_client import must_be_able

            must_be_able()
        listeners = open_listeners(
            settings.listen,
            socket_type=settings.socket_type,
            ownership=settings.ownership,
            backlog=settings.backlog,
            configure=ask_for_credentials
            if settings.socket_type == "dgram" and settings.rules
            else _leave_alone,
            on_unmatched=on_unmatched,
            observer=observer,
            with_tcp=True,
        )
        try:
            # Asked again: inherited listeners may be on TCP, or take datagrams.
            refuse_misuse([each.address for each in listeners], settings.connect, settings.wishes)
            if listeners[0].type == socket.SOCK_DGRAM:
                refuse_with_datagrams(settings.wishes)
            loop = asyncio.new_event_loop()
            try:
                service = RelayService(
                    settings,
                    listeners,
                    loop,
                    max_clients,
                    observer,
                    alerts,
                    on_unreachable,
                    on_pair_over=on_pair_over,
                    on_look=on_look,
                )
                result = service.run(on_ready, partial(signal.pthread_sigmask, signal.SIG_SETMASK, mask))
            except Interrupted:
                result = _stopped(observer)
                result.bytes_lost = _sent_in_vain(listeners)
            finally:
                signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
                loop.close()
        finally:
            for listener in listeners:
                listener.close()
        result.bytes_lost += sum(listener.bytes_lost for listener in listeners)
        return result
    except Interrupted:
        return _stopped(observer)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _stopped(observer: Observer | None) -> RelayResult:
    """The result of a run that the signal which is pending has ended before it began, while a login was waited for."""
    pending = signal.sigtimedwait(STOP_SIGNALS, 0)
    number = signal.Signals(pending.si_signo) if pending is not None else signal.SIGTERM
    if observer is not None:
        observer(Stopping(-1, number.name))
    return RelayResult(signal_number=number)


def _sent_in_vain(listeners: Sequence[Listener]) -> int:
    """What clients have sent that nobody accepts any more. Those of inherited listeners wait for whoever comes next."""
    sent = 0
    for listener in listeners:
        if not listener.is_ours or listener.type == socket.SOCK_DGRAM:
            continue
        listener.refuse_new()
        with suppress(OSError):  # until nobody is left, as a rule
            while True:
                channel = Channel(listener.accept())
                sent += channel.queued()
                channel.close()
    return sent


def _refuse_itself(settings: RelaySettings) -> None:
    """One file under two names is seen here; what cannot be seen before, when a connection turns out to be ours."""
    if settings.connect in settings.listen or any(
        address.is_unix and _is_one_file(address, settings.connect) for address in settings.listen
    ):
        raise AddressError(
            f"{quote(str(settings.connect))} is where this relay listens: it would connect to itself",
            hint="the second address is the server's",
        )


def _leave_alone(sock: socket.SocketType) -> None:
    pass


def _is_one_file(one: Address, other: Address) -> bool:
    try:
        return os.path.samefile(one.name, other.name)
    except (OSError, ValueError):
        return False
