"""`afunix serve`: listeners, and a service on one loop, from the first bind to the last byte written.

Sockets are opened before the loop, so that the listener is the first descriptor. Values in, events and a ServeResult
out; what a status is, `cli` knows. Signal handlers and descriptor limits are this process's own, so one `serve` at a
time.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from ..kernel import activation
from ..kernel.activating import ActivatedCommand
from ..kernel.limits import descriptor_limit, raise_descriptor_limit
from ..kernel.listener import Listener
from ..kernel.socket_types import TYPE_NUMBERS
from ..kernel.spawning import Command, keep_descriptors_from_children
from ..model.address import Address
from ..model.errors import AddressError
from ..model.events import Observer
from ..sinks.datagrams import accept_credentials
from .client_commands import MAX_COMMANDS
from .listeners import open_listeners
from .service import STOP_SIGNALS, Service
from .settings import Cause, ServeResult, ServeSettings, TurnedAway, Use

__all__ = ["Cause", "ServeResult", "ServeSettings", "TurnedAway", "Use", "serve"]


def serve(
    settings: ServeSettings,
    *,
    observer: Observer | None = None,
    alerts: Observer | None = None,
    on_unmatched: Callable[[Address, int], None] = lambda address, count: None,
    on_ready: Callable[[list[Listener]], None] = lambda listeners: None,
) -> ServeResult:
    """Serve until something ends it. STDOUT is descriptor 1, STDIN (only for TALK) 0; they stay open.

    `observer` is told of every call and client, `alerts` only of what somebody should know. `on_ready` is called
    once clients can connect. The first SIGTERM, SIGINT or SIGHUP stops it whole, a second one at once. One that
    comes after the end has its effect when this returns: the handlers are then those that were there before.

    Raises:
        AfunixError: the listeners cannot be had; nothing is left behind.
    """
    if settings.socket_type is not None:
        _refuse_meaningless(settings, TYPE_NUMBERS[settings.socket_type])
    activation.watchdog()  # an environment that makes no sense is told before anybody can connect
    soft_limit = descriptor_limit()
    max_clients = _max_clients(settings)
    command = _command(settings, soft_limit)
    # Between bind and the handlers of signals these wait, or they would leave the path behind.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        listeners = open_listeners(
            settings.addresses,
            socket_type=settings.socket_type,
            ownership=settings.ownership,
            backlog=settings.backlog,
            with_tcp=settings.use is Use.TALK,
            configure=accept_credentials if settings.socket_type == "dgram" else lambda sock: None,
            accepts_fds=command is not None,  # whether it takes them is for the command to say
            on_unmatched=on_unmatched,
            observer=observer,
        )
        try:
            _refuse_meaningless(settings, listeners[0].type)
            for listener in listeners:
                listener.alerts = alerts
            with _loop() as loop:
                run = Service(settings, listeners, loop, max_clients, command, observer, alerts)
                return run.run(on_ready, partial(signal.pthread_sigmask, signal.SIG_SETMASK, mask))
        finally:
            for listener in listeners:
                listener.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop whose end leaves STOP_SIGNALS blocked, and their handlers as they were before it."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        # The loop closes the pipe that it is woken through before it takes its handlers back, and gives SIGINT
        # Python's, which raises. What comes meanwhile waits until the paths are removed, and then kills.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        loop.close()
        for number, handler in before.items():
            if handler is not None:  # None: not set from Python, and asyncio has replaced it for good
                signal.signal(number, handler)


def _max_clients(settings: ServeSettings) -> int:
    limit = raise_descriptor_limit()
    if settings.max_clients is not None:
        return settings.max_clients
    return MAX_COMMANDS if settings.use is Use.EXEC else limit


def _command(settings: ServeSettings, soft_limit: int) -> Command | None:
    """Found before anybody can connect; and what we inherited is not for it."""
    if settings.use is not Use.EXEC:
        return None
    keep_descriptors_from_children()
    if settings.handed_over_as is not None:
        return ActivatedCommand(settings.command, soft_limit, names=(settings.handed_over_as,))
    return Command(settings.command, soft_limit)


def _refuse_meaningless(settings: ServeSettings, number: int) -> None:
    """Refuse options that mean nothing to sockets of that type; before anything is bound where that is known."""
    if settings.presentation.null and number == socket.SOCK_STREAM:
        raise AddressError(
            "--null separates records, and a stream has none", hint="use it with --type dgram or seqpacket"
        )
    given = [*settings.stream_only, *(["--talk"] if settings.use is Use.TALK else [])]
    if given and number == socket.SOCK_DGRAM:
        raise AddressError(
            f"{given[0]} means nothing for a dgram socket: datagrams come without connections",
            hint="use --type seqpacket for records with connections",
        )
