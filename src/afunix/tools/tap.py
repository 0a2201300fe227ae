"""The work of `afunix tap PATH`: in front of a live socket, told of everything, and back.

Values in, the events of `model.tapped` and the notices of `model.tap_notices` out, a RelayResult at the end. The
conversations are the relay's business (`relay_service`), and told by `tap_witness`; the names are `tap_keeper`'s.
Upstream each client is who it is; whoever we cannot be is refused, unless `as_me`.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial

from ..kernel import activation
from ..kernel.channel import Channel
from ..kernel.front import Front
from ..kernel.limits import raise_descriptor_limit
from ..kernel.listener import Listener, Ownership
from ..kernel.socket_types import type_word
from ..model.address import Address
from ..model.events import Observer
from ..model.tap_notices import TapNotice
from ..model.tapped import Beginning, Side, TapEvent
from ..sinks.datagram_relay import DatagramRelay
from ..sinks.relay import Relay
from .relay_service import STOP_SIGNALS, RelayService
from .relay_settings import RelayResult, RelaySettings
from .tap_beside import open_beside
from .tap_guardian import through
from .tap_keeper import TapKeeper
from .tap_place import Target, find, must_be_another, type_at
from .tap_witness import PairWatch, TapWitness


@dataclass(frozen=True, slots=True)
class TapSettings:
    """The options of `tap`; `listen` is another name to stand under, None: in front of the path itself. `drain_s` is how
    long conversations may go on after a stop; infinity: until they end.
    """

    path: Address
    listen: Address | None = None
    ownership: Ownership = field(default_factory=Ownership)
    as_me: bool = False
    max_clients: int | None = None
    backlog: int | None = None
    connect_timeout_s: float | None = None
    drain_s: float = math.inf


def tap(
    settings: TapSettings,
    *,
    on_beginning: Callable[[Beginning], Callable[[TapEvent], None]],
    alerts: Callable[[TapNotice], None],
    observer_alerts: Observer | None = None,
    on_unreachable: Callable[[Channel, Exception], None] = lambda channel, error: None,
    on_ready: Callable[[Callable[[str], None]], None] = lambda stop: None,
    on_look: Callable[[Relay | DatagramRelay], None] | None = None,
) -> RelayResult:
    """Stand in front until a signal, the server's end, or somebody else's hand on the path. What `on_beginning` returns is
    told each event, on the loop: it may neither wait nor raise. `on_ready(stop)` once clients come here; `stop(why)` ends
    it as a signal would, and may be called in any thread. `on_look` is as `relay`'s.

    Raises:
        AfunixError: it cannot be tapped; then nothing was changed.
    """
    activation.watchdog()  # an environment that makes no sense is told before anything is changed
    max_clients = raise_descriptor_limit() // 2 if settings.max_clients is None else settings.max_clients
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    with ExitStack() as opened:
        opened.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        target, listener, front = _open(settings, alerts, opened)
        loop = asyncio.new_event_loop()
        opened.callback(loop.close)
        opened.callback(signal.pthread_sigmask, signal.SIG_BLOCK, STOP_SIGNALS)
        beginning = Beginning(str(settings.path), type_word(listener.type), time.time_ns())
        upstream = settings.path if front is None else through(front.pin)
        witness = TapWitness(on_beginning(beginning), str(upstream), str(settings.path))
        keeper: TapKeeper | None = None
        if target is not None and front is not None:
            keeper = TapKeeper(
                str(settings.path),
                target,
                listener,
                front,
                loop,
                alerts,
                as_client=not settings.as_me,
                live=lambda: witness.live,
                stop=lambda words: service.stop(words),
            )
        service = RelayService(
            RelaySettings(
                (listener.address,),
                upstream,
                socket_type=beginning.socket_type,
                connect_timeout_s=settings.connect_timeout_s,
                drain_s=settings.drain_s,
                pass_fds=True,
                as_client=not settings.as_me,
            ),
            [listener],
            loop,
            max_clients,
            None,
            observer_alerts,
            on_unreachable,
            on_pair_over=lambda connection, up, down: None,
            on_look=on_look,
            watching=Tap(witness, keeper),
            is_transparent=True,
            place=settings.path if settings.listen is None else settings.listen,
        )
        if keeper is not None:
            opened.callback(keeper.close)

        def start(*_: object) -> None:
            if keeper is not None:
                keeper.step_in()
            on_ready(partial(_stop_from_anywhere, loop, service))

        result = service.run(start, partial(signal.pthread_sigmask, signal.SIG_SETMASK, mask))
        if keeper is not None:
            keeper.close()
            if keeper.obstacle is not None:
                result.left_behind.append(keeper.obstacle)
        return result


def _stop_from_anywhere(loop: asyncio.AbstractEventLoop, service: RelayService, words: str) -> None:
    with suppress(RuntimeError):  # the loop is closed: it has ended
        loop.call_soon_threadsafe(service.stop, words)


def _open(
    settings: TapSettings, alerts: Callable[[TapNotice], None], opened: ExitStack
) -> tuple[Target | None, Listener, Front | None]:
    if settings.listen is not None:
        must_be_another(settings.listen, settings.path)
        listener = Listener.open(
            settings.listen,
            type_at(settings.path),
            settings.ownership,
            backlog=settings.backlog,
            accepts_fds=True,
        )
        opened.callback(listener.close)
        return None, listener, None
    target = find(settings.path, alerts)
    opened.callback(target.close)
    listener, front = open_beside(target, settings.backlog)
    opened.callback(os.close, front.our_pin)
    opened.callback(listener.close)
    return target, listener, front


class Tap:
    """One run: its witness, and the names' keeper where it stands in front. A `watching.Watching`."""

    def __init__(self, witness: TapWitness, keeper: TapKeeper | None) -> None:
        self._witness = witness
        self._keeper = keeper

    def opened(self, near: Channel) -> None:
        self._witness.opened(near)

    def watch(self, near: Channel) -> PairWatch:
        return self._witness.watch(near)

    def over(self, near: Channel, reason: Exception | None, side: Side | None = None) -> None:
        self._witness.over(near, reason, side)
        if isinstance(reason, ConnectionError) and self._keeper is not None:
            self._keeper.look_soon()

    def before_stop(self, stop: Callable[[], None]) -> None:
        if self._keeper is None:
            stop()
        else:
            self._keeper.before_stop(stop)

    def may_stop_now(self) -> bool:
        return self._keeper is None or self._keeper.step_back()
