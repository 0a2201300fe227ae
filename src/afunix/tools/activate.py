"""The work of `afunix activate ADDRESS… -- CMD`: sockets that are there at once, and a command that is when it is needed.

The command is found first, then the sockets are opened as for `serve`, then `activate_service` starts it with them. Who
asks for a command for each client (--accept) asks `serve`, with `ServeSettings.handed_over_as`. Values in, happenings and
a result out. Signals are the process's own, so one `activate` at a time.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..kernel import activation
from ..kernel.activating import ActivatedCommand
from ..kernel.limits import descriptor_limit
from ..kernel.listener import Listener, Ownership
from ..kernel.spawning import keep_descriptors_from_children
from ..model.activated import Happening
from ..model.address import Address, AddressKind
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
        AfunixError: no such command, a name that is none, or the listeners cannot be had; nothing is left behind.
    """
    activation.watchdog()  # an environment that makes no sense is told before anybody can connect
    names = names_for(settings.names, settings.addresses)
    command = ActivatedCommand(settings.command, descriptor_limit(), names=names)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        keep_descriptors_from_children()
        listeners = _open(settings, observer, on_unmatched)
        loop = asyncio.new_event_loop()
        try:
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
    """Those that we make are handed over as systemd does it: they block, and descriptors may come through them."""
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
    for listener in listeners:
        if not listener.is_inherited:
            os.set_blocking(listener.fd, True)
    return listeners


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


def names_for(names: Sequence[str], addresses: Sequence[Address]) -> tuple[str, ...]:
    """A name for each socket: those given, in their order, or the one for all; else what an inherited one was called.

    Raises:
        AddressError: one is no name, or there are neither one nor as many as sockets.
    """
    for name in names:
        _checked(name)
    inherited = activation.announced_names()
    count = len(addresses) or len(inherited)
    if len(names) in (1, count):
        return tuple(names) if len(names) == count else tuple(names) * count
    if names:
        raise AddressError(
            f"{counted(len(names), 'name')} for {counted(count, 'socket')}: expected one for each, or one for all",
            hint="give --name once, or once for every ADDRESS in their order",
        )
    return tuple(map(_own_name, addresses)) if addresses else tuple(inherited)


def _own_name(address: Address) -> str:
    """`fd:NAME` goes on being called NAME."""
    name = os.fsdecode(address.name)
    is_named = address.kind is AddressKind.INHERITED and not name.isdigit() and is_name(name)
    return name if is_named else NAMELESS


def _checked(name: str) -> str:
    if not is_name(name):
        raise AddressError(
            f"{quote(name)} is no name for a socket: expected 1 to 255 printable ASCII characters without a colon",
            hint="a service asks for it as systemd.listeners('NAME'), or as 'afunix serve fd:NAME'",
        )
    return name
