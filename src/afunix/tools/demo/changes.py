"""What a step has changed in the kernel's table: a line for each socket of the stage that now stands otherwise.

The table is `kernel.socket_table`'s; sockets of the internet are not in it. `inside` tells the same of one socket of
one process; here all sockets are watched, for a connect is seen best in the accept queue of the other side.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from ...kernel.socket_table import entry_of
from ...model.escaping import escape
from ...model.socket_table import Shutdown, SocketEntry, TableState
from .shown import Names

_SHUTDOWNS = {
    Shutdown.RECEIVING: ", shut down for receiving",
    Shutdown.SENDING: ", shut down for sending",
    Shutdown.BOTH: ", shut down both ways",
}


class Watch:
    """Remembers how each socket stood; `look` tells of those of `fds` that stand otherwise since."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._before: dict[int, str] = {}

    def look(self, fds: Iterable[int]) -> tuple[str, ...]:
        """The lines for a step, `fds` being the sockets that are open after it; none where nothing can be asked."""
        now = {fd: line for fd in fds if (line := self._line(fd)) is not None}
        changed = [
            f"{self._names.fd(fd)}: {line}" for fd, line in now.items() if self._before.get(fd) != line
        ]
        self._before = now
        return tuple(changed)

    def _line(self, fd: int) -> str | None:
        try:
            entry = entry_of(os.fstat(fd).st_ino)
        except OSError:
            return None  # neither source can be read
        return None if entry is None else self._describe(entry)

    def _describe(self, entry: SocketEntry) -> str:
        if entry.state is TableState.LISTENING and entry.queued is not None:
            return f"accept queue {entry.queued} of {entry.backlog}"
        inode = f"inode {self._names.inode(entry.inode)}"
        if entry.state is not TableState.CONNECTED or entry.unread is None:
            return inode + self._name(entry) + self._queue(entry)
        shut = _SHUTDOWNS.get(entry.shutdown, "") if entry.shutdown else ""
        return f"{inode} ⇄ {self._peer(entry)}{self._queue(entry) or ', receive queue 0 bytes'}{shut}"

    def _peer(self, entry: SocketEntry) -> str:
        """An end that was never accepted has no inode yet; one that was closed has shut this one down."""
        if entry.peer:
            return str(self._names.inode(entry.peer))
        return "closed" if entry.shutdown is Shutdown.BOTH else "not accepted yet"

    def _name(self, entry: SocketEntry) -> str:
        if not entry.address.name:
            return ", without a name"
        return f", named {self._names.known(escape(entry.address.format()))}"

    @staticmethod
    def _queue(entry: SocketEntry) -> str:
        if not entry.unread:
            return ""
        return ", receive queue 1 byte" if entry.unread == 1 else f", receive queue {entry.unread} bytes"
