"""Which of a tap's events are shown: of which connections, of whose, and what which side said. Pure.

    connections    by their number
    pids, uids     the client's process, and the user whom the kernel vouches for
    commands       its name: whole, or a glob (`redis*`)
    side           only what this side says; that somebody came and went is told in any case

One of a kind has to match, and of every kind that is asked for. Who a client is stands only in its Opened, so a connection
that matched is remembered until it is over.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable

from .tapped import Opened, Over, Said, SaidAll, Side, TapEvent

_GLOB = re.compile(r"[*?\[]")
_LONGEST_COMMAND = 15
"""Bytes of a name that the kernel keeps (TASK_COMM_LEN less its NUL): of a longer one they are the beginning."""


class TapFilter:
    """A predicate that sees every event of a tap, in their order. Without arguments it shows all of them."""

    def __init__(
        self,
        *,
        connections: Collection[int] = (),
        pids: Collection[int] = (),
        uids: Collection[int] = (),
        commands: Iterable[str] = (),
        side: Side | None = None,
    ) -> None:
        self._connections = frozenset(connections)
        self._pids = frozenset(pids)
        self._uids = frozenset(uids)
        self._commands = [re.compile(_expression(command)) for command in commands]
        self._side = side
        self._chooses_clients = bool(self._connections or self._pids or self._uids or self._commands)
        self._shown: set[int] = set()

    def __bool__(self) -> bool:
        """Can it hide anything?"""
        return self._chooses_clients or self._side is not None

    def shows(self, event: TapEvent) -> bool:
        """Is `event` to be shown?"""
        if self._chooses_clients and not self._shows_client(event):
            return False
        return self._side is None or not isinstance(event, Said | SaidAll) or event.side is self._side

    def _shows_client(self, event: TapEvent) -> bool:
        if type(event) is Opened:
            if self._matches(event):
                self._shown.add(event.connection)
        elif type(event) is Over and event.connection in self._shown:
            self._shown.remove(event.connection)
            return True
        return event.connection in self._shown

    def _matches(self, event: Opened) -> bool:
        return (
            (not self._connections or event.connection in self._connections)
            and (not self._pids or event.peer.pid in self._pids)
            and (not self._uids or (event.peer.is_known and event.peer.uid in self._uids))
            and (not self._commands or any(pattern.fullmatch(event.command) for pattern in self._commands))
        )


def _expression(command: str) -> str:
    if _GLOB.search(command):
        return fnmatch.translate(command)
    cut = command.encode("utf-8", "surrogateescape")[:_LONGEST_COMMAND].decode("utf-8", "surrogateescape")
    return f"{re.escape(command)}|{re.escape(cut)}"
