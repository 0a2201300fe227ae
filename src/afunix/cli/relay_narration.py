"""What `relay` tells while it runs: what `serve` tells of clients, why one got no connection, and whom the server sees.

Why there is none is told with what `check` finds: one line and its hint for each reason at first, and then one a second
at most, with a count. A client can cause any number of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from ..formats.traffic import show_totals
from ..kernel import names
from ..kernel.channel import Channel
from ..kernel.tcp import address_of, is_tcp
from ..model import events
from ..model.address import AddressKind
from ..model.counting import counted
from ..model.errors import AddressError, AfunixError, TimedOutError, WrongTypeError, errno_name
from ..model.escaping import quote
from ..tools.check import check
from ..tools.relay import RelayResult, RelaySettings
from .messages import Messages, plain
from .narration import REFUSALS_EVERY_S, Narration

SAME_FOR_ALL_HINT = "--as-client connects as each client, so that the server can tell them apart"


class RelayNarration(Narration):
    """`unreachable(channel, error)` is told of each client that got no connection."""

    same_for_all_hint = SAME_FOR_ALL_HINT

    def __init__(
        self,
        messages: Messages,
        settings: RelaySettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(messages, trace=settings.is_traced, clock=clock)
        self._settings = settings
        self._checked = settings.connect
        self._notes[events.PeerReset] = lambda e: f"client {e.connection}: one of its two connections broke"
        self._has_begun = False
        self._handed_on = (0, 0, 0)
        self._reasons: dict[tuple[type[Exception], int | None], _Reason] = {}

    def ready(self) -> None:
        """Clients can connect."""
        self._begin()
        self.warn_of_directories(self._settings.listen)

    def _observe(self, event: events.Event) -> None:
        if type(event) in self._notes:
            self._begin()
        super()._observe(event)

    def _begin(self) -> None:
        """The first line, if there is more to tell than why nothing begins."""
        if not self._has_begun:
            self._has_begun = True
            self._tell_identity()

    def _tell_identity(self) -> None:
        """Who every client is to the server. Where that is root, it may open to them what is closed."""
        if self._settings.as_client or not self._settings.connect.is_unix:
            return
        user = names.user_name(os.geteuid()) or str(os.geteuid())
        words = f"{quote(str(self._settings.connect))} sees {user} for everybody, whoever the client is"
        if os.geteuid() == 0:
            self._messages.warn(words, self.same_for_all_hint)
        else:
            self._messages.note(words)

    def unreachable(self, channel: Channel, error: Exception) -> None:
        """A client was closed, for there is no connection for it."""
        reason = self._reasons.setdefault((type(error), getattr(error, "errno", None)), _Reason())
        now = self._clock()
        if now - reason.told_at < REFUSALS_EVERY_S:
            reason.untold += 1
            reason.is_of_others = reason.is_of_others or self._uid_of(channel) != reason.uid
            return
        others = f" (and {reason.untold} others before)" if reason.untold else ""
        reason.untold, reason.told_at = 0, now
        reason.uid, reason.is_of_others = self._uid_of(channel), False
        if not self._messages.warns:
            return
        words, hint = self._why(channel, error)
        reason.words = words
        what = "a datagram goes no further"
        if channel.connection:
            what = f"client {channel.connection}, {self._who(channel)}, gets no connection"
        self._messages.warn(f"{what}: {words}{others}", hint)

    def _uid_of(self, channel: Channel) -> int | None:
        """Whose rights decide, if those are not the same for all."""
        return channel.peer.uid if self._settings.as_client else None

    def _who(self, channel: Channel) -> str:
        if is_tcp(channel.socket):
            return f"from {address_of(channel.socket.getpeername())}"
        if channel.names is not None and channel.names[0].kind is AddressKind.SSH:
            return f"from {channel.names[0]}"
        return self._format.describe(channel.peer)

    def _why(self, channel: Channel, error: Exception) -> tuple[str, str | None]:
        """What stands in the way: as `check` sees it, as long as it sees it, else as the error says."""
        if not isinstance(error, AfunixError):
            return _words_of(error), None
        if not self._settings.connect.is_unix or isinstance(error, AddressError):
            return error.message, error.hint
        user = str(channel.peer.uid) if self._settings.as_client else None
        wanted = self._settings.socket_type if isinstance(error, WrongTypeError) else None
        try:
            report = check(self._checked, as_user=user, wanted_type=wanted)
        except (AfunixError, OSError):
            return error.message, error.hint
        if report.is_reachable:
            return error.message, error.hint
        finding = report.problems[0]
        words = error.message if isinstance(error, TimedOutError) else finding.what
        hint = ": ".join(filter(None, (finding.hint, finding.command)))
        if isinstance(error, WrongTypeError):
            return words + (f": {finding.why}" if finding.why else ""), _type_hint(finding.what)
        return words + (f": {finding.why}" if finding.why else ""), hint or error.hint

    def finish(self) -> None:
        super().finish()
        for reason in self._reasons.values():
            if reason.untold:
                more = counted(reason.untold, "more client")
                if reason.is_of_others:  # the words name one of several users
                    self._messages.warn(f"{more}, of other users too, got no connection for a like reason")
                else:
                    self._messages.warn(f"{more} got no connection: {reason.words}")

    def pair_over(self, connection: int, up: int, down: int) -> None:
        """So much was handed on each way for a client that is about to leave."""
        self._handed_on = (connection, up, down)

    def tell_totals(self, result: RelayResult) -> None:
        """The last line: what has gone through."""
        self._messages.note(show_totals(result.served, *result.moved))

    def _closed(self, event: events.Closed) -> str:
        if not event.connection:
            return ""
        connection, up, down = self._handed_on
        if connection != event.connection:
            up = down = 0  # it got no connection
        return f"client {event.connection} left: {counted(up, 'byte')} up, {down} down"


class _Reason:
    """One reason why there is no connection: when it was told last, in which words, and how often it came since."""

    def __init__(self) -> None:
        self.told_at = float("-inf")
        self.untold = 0
        self.words = ""
        self.uid: int | None = None
        """Whose it was that was told last; `is_of_others`: did it come to another user since?"""
        self.is_of_others = False


def _type_hint(what: str) -> str:
    """Both ends are of one type: the one that was found, and that `what` names."""
    found = what.rpartition(" is a ")[2].partition(" ")[0]
    return f"relay --type {found or 'WORD'}: both ends have to be of the server's type"


def _words_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{plain(error.strerror or str(error))} ({errno_name(error.errno)})"
    return str(error)
