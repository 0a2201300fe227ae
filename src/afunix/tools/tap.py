"""The work of `afunix tap PATH`: in front of a live socket, told of everything, and back.

Values in, the events of `model.tapped` and the notices of `model.tap_notices` out, a RelayResult at the end. The
conversations are the relay's business (`relay_service`), the names `tap_place`'s, and what happens if we are killed
`tap_guardian`'s. Upstream each client is who it is; whoever we cannot be is refused, unless `as_me`.
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

from ..kernel import names
from ..kernel.channel import Channel
from ..kernel.descriptor_words import describe
from ..kernel.front import Front
from ..kernel.limits import raise_descriptor_limit
from ..kernel.listener import Listener, Ownership
from ..kernel.socket_types import type_word
from ..model.address import Address
from ..model.errors import AfunixError
from ..model.escaping import quote
from ..model.events import Observer
from ..model.standing import Standing
from ..model.tap_notices import (
    GuardianReplaced,
    NotBack,
    PathChanged,
    ServerGone,
    SteppedBack,
    SteppedIn,
    TapNotice,
)
from ..model.tapped import Beginning, Opened, Over, Said, SaidAll, Side, TapEvent
from ..sinks.datagram_relay import DatagramRelay
from ..sinks.relay import Relay
from ..streams.process_end import watch_process
from .relay_service import STOP_SIGNALS, RelayService
from .relay_settings import RelayResult, RelaySettings
from .tap_guardian import Guardian, through
from .tap_place import Target, find, open_beside, step_in, type_at

_STRAGGLERS_S = 0.2
"""Who found our socket at the path before the swap back has connected by then."""

_LOOK_EVERY_S = 0.5

_GUARDIAN_LIVES_S = 1.0
"""One that ends sooner after it was started in another's place is not replaced again."""


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
    max_clients = raise_descriptor_limit() // 2 if settings.max_clients is None else settings.max_clients
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    with ExitStack() as opened:
        opened.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        target, listener, front = _open(settings, alerts, opened)
        loop = asyncio.new_event_loop()
        opened.callback(loop.close)
        opened.callback(signal.pthread_sigmask, signal.SIG_BLOCK, STOP_SIGNALS)
        beginning = Beginning(str(settings.path), type_word(listener.type), time.time_ns())
        run = Tap(settings, target, listener, front, loop, on_beginning(beginning), alerts)
        upstream = settings.path if front is None else through(front.pin)
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
            watching=run,
            is_transparent=True,
        )
        opened.callback(run.close)

        def start(*_: object) -> None:
            run.step_in(service)
            on_ready(partial(_stop_from_anywhere, loop, service))

        return service.run(start, partial(signal.pthread_sigmask, signal.SIG_SETMASK, mask))


def _stop_from_anywhere(loop: asyncio.AbstractEventLoop, service: RelayService, words: str) -> None:
    with suppress(RuntimeError):  # the loop is closed: it has ended
        loop.call_soon_threadsafe(service.stop, words)


def _open(
    settings: TapSettings, alerts: Callable[[TapNotice], None], opened: ExitStack
) -> tuple[Target | None, Listener, Front | None]:
    if settings.listen is not None:
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
    """One run: who is told of each connection, and the names' keeper while it lasts. A `relay_service.Watching`."""

    def __init__(
        self,
        settings: TapSettings,
        target: Target | None,
        listener: Listener,
        front: Front | None,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[TapEvent], None],
        alerts: Callable[[TapNotice], None],
    ) -> None:
        self._settings = settings
        self._target = target
        self._listener = listener
        self._front = front
        self._loop = loop
        self._tell = tell
        self._alerts = alerts
        self._began_s = time.monotonic()
        self._guardian: Guardian | None = None
        self._replaced_s = -math.inf
        self._watch_no_more: Callable[[], None] = lambda: None
        self._is_in_front = False
        self._has_failed = False
        self._live: set[int] = set()
        self._service: RelayService | None = None

    # The names

    def step_in(self, service: RelayService) -> None:
        """Guarded first, then swapped.

        Raises:
            AfunixError: as `tap_place.step_in` and `Guardian`.
        """
        self._service = service
        if self._front is None:
            return
        self._start_guardian(self._front)
        self._is_in_front = True
        try:
            step_in(self._front)
        except BaseException:
            self._undo(self._front)
            raise
        self._alerts(SteppedIn(str(self._settings.path), str(self._front.second.address)))
        self._loop.call_later(_LOOK_EVERY_S, self._look)

    def _undo(self, front: Front) -> None:
        with suppress(OSError):
            front.step_back()
            self._is_in_front = False

    def _start_guardian(self, front: Front) -> None:
        self._guardian = Guardian(front, self._listener.socket, as_client=not self._settings.as_me)
        self._watch_no_more = watch_process(self._loop, self._guardian.pidfd, self._on_guardian_gone)

    def _on_guardian_gone(self) -> None:
        self._release_guardian(Guardian.close)
        if self._is_in_front and self._front is not None:
            now_s = self._now_s()
            if now_s - self._replaced_s < _GUARDIAN_LIVES_S:
                self._stop("no guardian lives")
                return
            self._replaced_s = now_s
            try:
                self._start_guardian(self._front)
            except AfunixError:
                self._stop("there is no guardian")
                return
            assert self._guardian is not None
            self._alerts(GuardianReplaced(self._guardian.pid))

    def _release_guardian(self, how: Callable[[Guardian], None]) -> None:
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            self._watch_no_more()
            how(guardian)

    def _look(self) -> None:
        """Is all as we left it? If not, nobody comes here any more, or nobody is there to be reached."""
        if not self._is_in_front or self._front is None or self._target is None:
            return
        standing = self._front.standing()
        if standing is not Standing.IN_FRONT:
            self._alerts(PathChanged(str(self._settings.path), standing))
            self._stop("the path has changed")
        elif not self._target.is_live():
            self._alerts(ServerGone(str(self._settings.path)))
            self._stop("the server has gone")
        else:
            self._loop.call_later(_LOOK_EVERY_S, self._look)

    def _stop(self, words: str) -> None:
        if self._service is not None:
            self._service.stop(words)

    def step_back(self) -> bool:
        """False: something stands in the way, which is told once. Idempotent."""
        if not self._is_in_front or self._front is None:
            return True
        path = str(self._settings.path)
        try:
            standing = self._front.step_back()
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                self._alerts(NotBack(path, str(self._front.second.address), f"{error.strerror}"))
            return False
        self._is_in_front = False
        if self._guardian is not None:
            self._guardian.say_back()
        self._alerts(SteppedBack(path, standing, len(self._live)))
        return True

    def before_stop(self, stop: Callable[[], None]) -> None:
        """As long as we cannot step back we go on: PATH leads nowhere else."""
        if self._front is None:
            stop()
        elif self.step_back():
            self._loop.call_later(_STRAGGLERS_S, self._stop_now, stop)
        else:
            self._loop.call_later(_LOOK_EVERY_S, self.before_stop, stop)

    def _stop_now(self, stop: Callable[[], None]) -> None:
        """Who waits is accepted now, and nobody else comes: there is nothing left to guard."""
        stop()
        self._release_guardian(Guardian.dismiss)

    def close(self) -> None:
        """If the path cannot be put back, that is left to the guardian."""
        self._release_guardian(Guardian.dismiss if self.step_back() else Guardian.leave)

    # The conversations

    def _now_s(self) -> float:
        return time.monotonic() - self._began_s

    def opened(self, near: Channel) -> None:
        peer = near.peer
        user = names.user_name(peer.uid) if peer.is_known else None
        command = names.comm_of(peer.pid) if peer.pid else None
        self._live.add(near.connection)
        self._tell(Opened(near.connection, self._now_s(), peer, user or "", command or ""))

    def watch(self, near: Channel) -> PairWatch:
        return PairWatch(near.connection, self._began_s, self._tell)

    def over(self, near: Channel, reason: Exception | None) -> None:
        self._live.discard(near.connection)
        if isinstance(reason, AfunixError) and self._front is not None:
            _name(reason, str(through(self._front.pin)), str(self._settings.path))
        self._tell(Over(near.connection, self._now_s(), _words_of(reason)))
        if isinstance(reason, ConnectionRefusedError):
            self._loop.call_soon(self._look)


class PairWatch:
    """One conversation's events. A `kernel.relay_pumps.Watch`."""

    __slots__ = ("_began_s", "_connection", "_tell")

    def __init__(self, connection: int, began_s: float, tell: Callable[[TapEvent], None]) -> None:
        self._connection = connection
        self._began_s = began_s
        self._tell = tell

    def passed(self, is_clients: bool, data: bytes | memoryview, fds: list[int]) -> None:
        self._tell(
            Said(
                self._connection,
                time.monotonic() - self._began_s,
                Side.CLIENT if is_clients else Side.SERVER,
                _whole(data),
                tuple(describe(fd) for fd in fds) if fds else (),
            )
        )

    def ended(self, is_clients: bool) -> None:
        side = Side.CLIENT if is_clients else Side.SERVER
        self._tell(SaidAll(self._connection, time.monotonic() - self._began_s, side))


def _name(error: AfunixError, through: str, path: str) -> None:
    """What we connect to has no name that means anything to others."""
    error.message = error.message.replace(quote(through), quote(path))
    if error.hint is not None:
        error.hint = error.hint.replace(through, path)


def _whole(data: bytes | memoryview) -> bytes:
    """Without a copy where it is all of what was received."""
    whole = data.obj if isinstance(data, memoryview) else data
    return whole if isinstance(whole, bytes) and len(whole) == len(data) else bytes(data)


def _words_of(reason: Exception | None) -> str:
    if reason is None:
        return ""
    if isinstance(reason, AfunixError):
        return f"refused: {reason}"
    number = reason.errno if isinstance(reason, OSError) and reason.errno else 0
    return os.strerror(number).lower() if number else str(reason)
