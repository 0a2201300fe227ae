"""Who keeps the names while a tap lasts: in front, looked after, guarded, and back.

How the names are swapped is `tap_beside`'s and `kernel.front`'s, what happens if we are killed `tap_guardian`'s; here is
when. Nothing is known of what the clients say.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress

from ..kernel.front import Front
from ..kernel.listener import Listener
from ..kernel.owners import holders_of_path
from ..model.errors import AfunixError
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
from ..streams.process_end import ProcessEnds, watch_process
from .tap_beside import step_in
from .tap_guardian import Guardian, not_back
from .tap_place import Target

_STRAGGLERS_S = 0.2
"""Who found our socket at the path before the swap back has connected by then."""

_LOOK_EVERY_S = 0.5

_MAX_WATCHED = 64
"""Processes that share the server's socket. It takes the end of the last, and who is not seen here is found by a look."""

_GUARDIAN_LIVES_S = 1.0
"""One that ends sooner after it was started in another's place is not replaced again."""


class TapKeeper:
    """From `step_in` to `close`. The target, the listener and the front are their owner's.

    `path` is what the notices call it, `as_client` what the guardian is to do for those it serves, `live()` how many
    connections there are, and `stop(why)` ends the run.
    """

    def __init__(
        self,
        path: str,
        target: Target,
        listener: Listener,
        front: Front,
        loop: asyncio.AbstractEventLoop,
        alerts: Callable[[TapNotice], None],
        *,
        as_client: bool,
        live: Callable[[], int],
        stop: Callable[[str], None],
    ) -> None:
        self._path = path
        self._target = target
        self._listener = listener
        self._front = front
        self._loop = loop
        self._alerts = alerts
        self._as_client = as_client
        self._live = live
        self._stop = stop
        self._guardian: Guardian | None = None
        self._replaced_s = -math.inf
        self._watch_no_more: Callable[[], None] = lambda: None
        self._next_look: asyncio.TimerHandle | None = None
        self._is_in_front = False
        self._has_failed = False
        self._server_ends: ProcessEnds | None = None
        self.obstacle: AfunixError | None = None
        """Why the path is not back, though it was tried."""

    def step_in(self) -> None:
        """Guarded first, then swapped.

        Raises:
            AfunixError: as `tap_beside.step_in` and `Guardian`.
        """
        self._watch_server()
        self._start_guardian()
        self._is_in_front = True
        try:
            step_in(self._front)
        except BaseException:
            self._undo()
            raise
        self._alerts(SteppedIn(self._path, str(self._front.second.address)))
        self._look_later(_LOOK_EVERY_S)

    def _watch_server(self) -> None:
        """Before the swap, for a name tells who holds a socket. A server that starts again at once finds its path back."""
        holders = holders_of_path(self._target.place.address.name)
        others = [holder.pid for holder in holders if holder.pid != os.getpid()]
        self._server_ends = ProcessEnds(self._loop, others[:_MAX_WATCHED], self.look_soon)

    def _undo(self) -> None:
        with suppress(OSError):
            self._front.step_back()
        with suppress(OSError):
            self._is_in_front = self._front.standing() in (Standing.IN_FRONT, Standing.ALONE)

    def _start_guardian(self) -> None:
        self._guardian = Guardian(self._front, self._listener.socket, as_client=self._as_client)
        self._watch_no_more = watch_process(self._loop, self._guardian.pidfd, self._on_guardian_gone)

    def _on_guardian_gone(self) -> None:
        self._release_guardian(Guardian.close)
        if self._is_in_front:
            now_s = time.monotonic()
            if now_s - self._replaced_s < _GUARDIAN_LIVES_S:
                self._stop("no guardian lives")
                return
            self._replaced_s = now_s
            try:
                self._start_guardian()
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

    def look_soon(self) -> None:
        """Something seems to have changed."""
        self._look_later(0)

    def _look_later(self, seconds: float) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        self._next_look = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Is all as we left it? If not, nobody comes here any more, or nobody is there to be reached."""
        if not self._is_in_front:
            return
        standing = self._front.standing()
        if standing is not Standing.IN_FRONT:
            self._alerts(PathChanged(self._path, standing))
            self._stop("the path has changed")
        elif not self._target.is_live():
            self._alerts(ServerGone(self._path))
            self._stop("the server has gone")
        else:
            self._look_later(_LOOK_EVERY_S)

    def step_back(self) -> bool:
        """False: something stands in the way, which is told once. Idempotent."""
        if not self._is_in_front:
            return True
        try:
            standing = self._front.step_back()
        except OSError as error:
            self.obstacle = not_back(self._front, error)
            if not self._has_failed:
                self._has_failed = True
                self._alerts(NotBack(self._path, str(self._front.second.address), f"{error.strerror}"))
            return False
        self._is_in_front = False
        self.obstacle = None
        if self._guardian is not None:
            self._guardian.say_back()
        self._alerts(SteppedBack(self._path, standing, self._live()))
        return True

    def before_stop(self, stop: Callable[[], None]) -> None:
        """As long as we cannot step back we go on: PATH leads nowhere else."""
        if self.step_back():
            self._loop.call_later(_STRAGGLERS_S, self._stop_now, stop)
        else:
            self._loop.call_later(_LOOK_EVERY_S, self.before_stop, stop)

    def _stop_now(self, stop: Callable[[], None]) -> None:
        """Who waits is accepted now, and nobody else comes: there is nothing left to guard."""
        stop()
        self._release_guardian(Guardian.dismiss)

    def close(self) -> None:
        """If the path cannot be put back, that is left to the guardian. Idempotent."""
        if self._server_ends is not None:
            self._server_ends.close()
        self._release_guardian(Guardian.dismiss if self.step_back() else Guardian.leave)
        self._is_in_front = False  # or not ours to look after
