"""What a run of `relay` is made of: chosen once, from its settings, its listeners and the kernel; nothing is done here.

somebody watches what goes through (`tap`)                 messages with their descriptors, records whole
records                                                    whole, one by one
--pass-fds                                                 messages with their descriptors
an end from which the kernel lets descriptors come         copying that fails where it meets one
somebody watches every call, or splice is not to be had    copying
else                                                       splice, through a pipe of the pool
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial

from ..endpoints.base import Endpoint
from ..kernel.channel import Channel
from ..kernel.fallbacks import is_forced
from ..kernel.listener import Listener
from ..kernel.pipes import PipePool
from ..kernel.relay_pumps import (
    copying_pumps,
    descriptor_pumps,
    record_pumps,
    refusing_pumps,
    splicing_pumps,
    watched_pumps,
)
from ..kernel.relay_trail import RelayTrail
from ..kernel.socket_types import type_word
from ..kernel.traced_channel import TracedChannel
from ..model.events import Observer
from ..sinks.relay import MakePumps
from .relay_ends import Dial, make_endpoint
from .relay_settings import RelaySettings
from .watching import Watching


def channels_for(
    settings: RelaySettings, observer: Observer | None
) -> Callable[[socket.SocketType, int], Channel]:
    """What both ends of a pair are."""
    if settings.is_traced and observer is not None:
        return partial(TracedChannel, observer=observer)
    return Channel


def make_far_end(
    settings: RelaySettings,
    listeners: Sequence[Listener],
    trail: RelayTrail | None,
    observer: Observer | None,
    alerts: Observer | None,
) -> Endpoint:
    """The endpoint; the caller closes it. Where it takes a login, that is made now.

    Raises:
        AfunixError: as `relay_ends.make_endpoint`, and as the login.
    """
    dial = Dial(
        type_word(listeners[0].type),
        wait=settings.wait,
        timeout=settings.connect_timeout_s,
        takes_descriptors=settings.pass_fds,
        as_client=settings.as_client,
        make_channel=channels_for(settings, observer),
        observer=observer if settings.is_traced else None,
        alerts=alerts,
        logs_in=True,
        trail=trail,
    )
    return make_endpoint(settings.connect, dial)


def pumps_for(
    settings: RelaySettings,
    listeners: Sequence[Listener],
    far_end: Endpoint,
    pool: PipePool,
    watching: Watching | None = None,
) -> MakePumps:
    """How the bytes of each pair move."""
    if watching is not None:
        is_stream = listeners[0].type == socket.SOCK_STREAM
        return lambda near, far: watched_pumps(watching.watch(near), is_stream, near, far)
    if listeners[0].type != socket.SOCK_STREAM:
        return partial(record_pumps, settings.pass_fds)
    if settings.pass_fds:
        return descriptor_pumps
    if not (far_end.refuses_fds and all(listener.refuses_fds for listener in listeners)):
        return refusing_pumps
    if settings.is_traced or is_forced("splice"):
        return copying_pumps
    return partial(splicing_pumps, pool)
