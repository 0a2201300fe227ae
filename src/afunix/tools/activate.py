"""The work of `afunix activate ADDRESS… -- CMD`: sockets that are there at once, and a command that is when it is needed.

The command is found first, then the sockets are opened as for `serve`, then `activate_service` starts it with them. Who
asks for a command for each client (--accept) asks `serve`, with `ServeSettings.handed_over_as`. Values in, happenings and
a result out. Signals are the process's own, so one `activate` at a time.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..kernel import activation
from ..kernel.activating import ActivatedCommand
from ..kernel.limits import descriptor_limit
from ..kernel.listener import Listener, Ownership
from ..kernel.socket_types import TYPE_NUMBERS
from ..kernel.spawning import keep_descriptors_from_children
from ..model.activated import Happening
from ..model.address import Address
from ..model.client_environment import without_ours
from ..model.counting import counted
from ..model.descriptor_names import NAMELESS, is_name
from ..model.errors import AddressError
from ..model.escaping import quote
from ..model.events import Observer
from .activate_service import SIGNALS, ActivateResult, ActivateService
from .listeners import open_listeners

__all__ = ["ActivateResult", "ActivateSettings", "activate", "name_for_each"]

_A_CLIENT = "connection"
"""systemd's word where Accept=yes."""


@dataclass(frozen=True, slots=True)
class ActivateSettings:
    """The options of `activate`, but for those of --accept."""

    addresses: tuple[Address, ...]
    command: tuple[str, ...]
    socket_type: str | None = None
    names: tuple[str, ...] = ()
    is_eager: bool = False
    ownership: Ownership = field(default_factory=Ownership)
    backlog: int | None = None
    drain_s: float | None = None
    stream_only: tuple[str, ...] = ()
    """Those given that mean nothing for datagrams, as they are written."""


def activate(
    settings: ActivateSettings,
    *,
    observer: Observer | None = None,
    tell: Callable[[Happening], None] = lambda happening: None,
    on_unmatched: Callable[[Address, int], None] = lambda address, count: None,
    on_ready: Callable[[list[Listener]], None] = lambda listeners: None,
) -> ActivateResult:
    """Start the command for whoever comes, until a signal ends it, or it has shut down every listener.

    `observer` is told of the listeners' calls, `tell` of what happens to the command. `on_ready` is called once clients can
    connect. The environment of the command is ours, without what concerns only us.

    Raises:
        AfunixError: no such command, a name that is none, or the listeners cannot be had, or an option means nothing for
            them; nothing is left behind.
    """
    activation.watchdog()  # an environment that makes no sense is told before anybody can connect
    check_names(settings.names, len(settings.addresses))
    if settings.socket_type is not None:
        _refuse_meaningless(settings, TYPE_NUMBERS[settings.socket_type])
    command = ActivatedCommand(settings.command, descriptor_limit())
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        keep_descriptors_from_children()
        listeners = _open(settings, observer, on_unmatched)
        loop = asyncio.new_event_loop()
        try:
            command.names = names_for(settings.names, listeners)
            service = ActivateService(
                command,
                listeners,
                loop,
                environment=without_ours(os.environb),
                is_eager=settings.is_eager,
                drain_s=settings.drain_s,
                tell=tell,
            )
            return service.run(
                lambda: on_ready(listeners), partial(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
            )
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            loop.close()
            for listener in listeners:
                listener.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _open(
    settings: ActivateSettings,
    observer: Observer | None,
    on_unmatched: Callable[[Address, int], None],
) -> list[Listener]:
    """Those that we make are handed over as systemd does it: descriptors may come through them, and at each start they are
    made to block.
    """
    listeners = open_listeners(
        settings.addresses,
        socket_type=settings.socket_type,
        ownership=settings.ownership,
        backlog=settings.backlog,
        accepts_fds=True,
        configure=lambda sock: None,
        on_unmatched=on_unmatched,
        observer=observer,
    )
    try:
        _refuse_meaningless(settings, listeners[0].type)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _refuse_meaningless(settings: ActivateSettings, number: int) -> None:
    """Before anything is bound, where the type is known by then."""
    if settings.stream_only and number == socket.SOCK_DGRAM:
        raise AddressError(
            f"{settings.stream_only[0]} means nothing for a dgram socket: datagrams come without connections",
            hint="use --type seqpacket for records with connections",
        )


def name_for_each(names: Sequence[str]) -> str:
    """What a client is called where each has its command; not given, as systemd calls it.

    Raises:
        AddressError: it is no name, or there are several.
    """
    if len(names) > 1:
        raise AddressError(
            f"{counted(len(names), 'name')} for each client: expected one", hint="give --name once"
        )
    return _checked(names[0]) if names else _A_CLIENT


def check_names(names: Sequence[str], count: int) -> None:
    """Can sockets be called so, `count` of them? 0: that is not known yet.

    Raises:
        AddressError: one is no name, or there are neither one nor as many as sockets.
    """
    for name in names:
        _checked(name)
    if count and len(names) not in (0, 1, count):
        raise AddressError(
            f"{counted(len(names), 'name')} for {counted(count, 'socket')}: expected one for each, or one for all",
            hint="give --name once, or once for every ADDRESS in their order",
        )


def names_for(names: Sequence[str], listeners: Sequence[Listener]) -> tuple[str, ...]:
    """A name for each: those given, in their order, or the one for all; else what an inherited one is called.

    Raises:
        AddressError: as `check_names`.
    """
    check_names(names, len(listeners))
    if len(names) == 1:
        return tuple(names) * len(listeners)
    return tuple(names) or tuple(map(_own_name, listeners))


def _own_name(listener: Listener) -> str:
    """That in LISTEN_FDNAMES, however it was asked for: by its name, number or path."""
    inherited = dict(enumerate(activation.announced_names(), activation.FIRST_FD))
    name = inherited.get(listener.fd, NAMELESS) if listener.is_inherited else NAMELESS
    return name if is_name(name) else NAMELESS


def _checked(name: str) -> str:
    if not is_name(name):
        raise AddressError(
            f"{quote(name)} is no name for a socket: expected 1 to 255 printable ASCII characters without a colon",
            hint="a service asks for it as systemd.listeners('NAME'), or as 'afunix serve fd:NAME'",
        )
    return name
