"""What `tap` tells on STDERR while it runs: where it stands, what others did to the path, who got no connection, and
what is not shown or recorded. The conversations themselves are the view's.

`end` is what ended it, if that was neither a signal nor an error: its words and the exit status that goes with them.
"""

from __future__ import annotations

import errno
import math
import os
import re
import shlex
from collections.abc import Callable
from typing import NamedTuple

from ..kernel import as_client
from ..kernel.channel import Channel
from ..model.address import Address
from ..model.counting import counted
from ..model.errors import AfunixError, DeniedError, OutputError, errno_name
from ..model.escaping import quote
from ..model.patience import show_seconds
from ..model.standing import Standing
from ..model.tap_notices import (
    GuardianReplaced,
    LeftoverMended,
    NotBack,
    PathChanged,
    ServerGone,
    SteppedBack,
    SteppedIn,
    TapNotice,
)
from ..tools.relay_settings import RelaySettings
from ..tools.tap_audience import AudienceSettings, Outlet
from .messages import Messages, plain, say_error
from .relay_narration import RelayNarration

AS_ME_HINT = "without --as-me each client is to the server who it is"

_NOBODY_LISTENS = 4
_OTHERS_MAY_CONNECT = 0o022
_PINNED = re.compile(r"/proc/self/fd/\d+")
"""What the server's socket is dialled by while its path leads to us."""

_CHANGES = {
    Standing.REMOVED: "somebody has removed {path}",
    Standing.REPLACED: "somebody has put another file at {path}",
    Standing.ALONE: "somebody has removed the server's socket beside {path}",
}


class End(NamedTuple):
    """Why a tap ended by itself."""

    words: str
    hint: str | None
    status: int


class TapNarration(RelayNarration):
    """`notice` is told of the names, `trouble` of what is not shown or recorded; that one may come in any thread."""

    same_for_all_hint = AS_ME_HINT

    def __init__(
        self,
        messages: Messages,
        settings: RelaySettings,
        audience: AudienceSettings,
        *,
        is_strict: bool = False,
    ) -> None:
        """`settings` are those of a relay between the same ends; `is_strict`: a trouble is its end."""
        super().__init__(messages, settings)
        self.end: End | None = None
        self.troubles: dict[Outlet, OutputError] = {}
        self.is_end_told = False
        """Was why it ended said already, because conversations go on after it?"""
        self._audience = audience
        self._is_strict = is_strict
        self._path = quote(str(settings.connect))
        self._told: dict[type[TapNotice], Callable[..., None]] = {
            SteppedIn: self._stepped_in,
            SteppedBack: self._stepped_back,
            NotBack: self._not_back,
            ServerGone: self._server_gone,
            PathChanged: self._path_changed,
            LeftoverMended: self._leftover_mended,
            GuardianReplaced: self._guardian_replaced,
        }

    # The names

    def notice(self, notice: TapNotice) -> None:
        self._told[type(notice)](notice)

    def _stepped_in(self, notice: SteppedIn) -> None:
        self._checked = Address.pathname(notice.second)
        self._messages.note(
            f"in front of {self._path} until stopped (Ctrl-C); meanwhile its server's socket is {quote(notice.second)}"
        )
        if self._settings.as_client and _is_open_to_others(notice.second) and not _can_be_others():
            self._messages.warn(
                f"clients of other users are refused meanwhile: only root can connect to {self._path} as them",
                "run it as root, or --as-me makes them you to the server",
            )

    def _stepped_back(self, notice: SteppedBack) -> None:
        if notice.standing is Standing.BACK:
            self._messages.note(f"{self._path} leads to its server again")
        if notice.live:
            signal = "a signal" if self._tell_why() else "a second signal"
            go, them = (
                ("goes on until it ends", "it") if notice.live == 1 else ("go on until they end", "them")
            )
            limit_s = self._settings.drain_s
            if limit_s is not None and limit_s != math.inf:
                go = f"{go}, for at most {show_seconds(limit_s)}"
            self._messages.tell(
                f"{counted(notice.live, 'connection')} through here {go}; {signal} cuts {them} short"
            )

    def _tell_why(self) -> bool:
        """What ends it, before what goes on all the same, if that is no signal; True if so."""
        gone = [outlet for outlet in Outlet if self.ends_with(outlet)]
        for outlet in gone:
            error = self.troubles[outlet]
            if self._audience.has_stdout(outlet) and error.errno == errno.EPIPE:
                self._messages.tell("nobody reads STDOUT any more (EPIPE)")
            else:
                say_error(self.why(outlet), None if self._audience.has_stdout(outlet) else error.hint)
        if self.end is not None:
            say_error(self.end.words, self.end.hint)
        self.is_end_told = bool(gone) or self.end is not None
        return self.is_end_told

    def _not_back(self, notice: NotBack) -> None:
        self._messages.warn(
            f"{self._path} still leads here, and cannot be put back: {plain(notice.reason)};"
            f" its server's socket is {quote(notice.second)}",
            f"'mv {shlex.quote(notice.second)} {shlex.quote(notice.path)}' puts it back",
        )

    def _server_gone(self, notice: ServerGone) -> None:
        self.end = End(f"nobody listens at {self._path} any more", "start its server first", _NOBODY_LISTENS)

    def _path_changed(self, notice: PathChanged) -> None:
        what = _CHANGES.get(notice.standing, "somebody has changed {path}").format(path=self._path)
        self.end = End(
            f"{what} while it was tapped, perhaps its server", "tap what is there now", _NOBODY_LISTENS
        )

    def _leftover_mended(self, notice: LeftoverMended) -> None:
        self._messages.warn(
            f"{self._path} led to a tap that had been killed together with its guardian: that is mended"
        )

    def _guardian_replaced(self, notice: GuardianReplaced) -> None:
        self._messages.warn(
            "the process that puts the path back if this one is killed has been killed itself:"
            f" pid {notice.pid} does so now"
        )

    # Who gets no connection

    def _why(self, channel: Channel, error: Exception) -> tuple[str, str | None]:
        words, hint = super()._why(channel, error)
        if isinstance(error, DeniedError) and error.errno == errno.EPERM and self._settings.as_client:
            hint = "run it as root, or --as-me makes every client you to the server"
        elif isinstance(error, AfunixError) and error.errno == errno.EPROTOTYPE:
            hint = None  # what a relay is advised to do is no option here
        elif "--as-client" in (hint or ""):
            hint = "--as-me makes every client you to the server"
        return self._named(words), hint and self._named(hint)

    def _named(self, words: str) -> str:
        return _PINNED.sub(lambda match: self._path[1:-1], words)

    # What is not shown or recorded

    def trouble(self, outlet: Outlet, error: OutputError) -> None:
        """What does not end the run is told now; `ends_with` says if it does."""
        self.troubles[outlet] = error
        if self.ends_with(outlet):
            return
        if error.errno == errno.ENXIO:
            return  # known at the end only, and said there
        if outlet is Outlet.VIEW:
            self._messages.warn("STDOUT takes too little: what has no room is not shown")
        else:
            self._messages.warn(f"{error.message}; the conversations go on", error.hint)

    def waits_for_reader(self, error: OutputError) -> None:
        """A FIFO that nobody reads ends nothing, unless `is_strict`: `trouble` is told of it then."""
        if self._is_strict:
            self.trouble(Outlet.FILE, error)
        else:
            self._messages.warn(f"{error.message}: the recording waits for a reader")

    def why(self, outlet: Outlet) -> str:
        """What the trouble of `outlet` is."""
        trouble = self.troubles[outlet]
        if not self._audience.has_stdout(outlet):
            return trouble.message
        if trouble.errno == errno.ENOBUFS:
            return "STDOUT takes too little"
        number = trouble.errno or 0
        return f"cannot write to STDOUT: {plain(os.strerror(number))} ({errno_name(number)})"

    def ends_with(self, outlet: Outlet) -> bool:
        """Is the trouble of `outlet` one that ends the run? With STDOUT it is, but for being slow."""
        error = self.troubles.get(outlet)
        if error is None:
            return False
        return self._is_strict or (self._audience.has_stdout(outlet) and error.errno != errno.ENOBUFS)


def _is_open_to_others(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & _OTHERS_MAY_CONNECT)
    except OSError:
        return False


def _can_be_others() -> bool:
    try:
        as_client.must_be_able()
    except AfunixError:
        return False
    return True
