"""What a step has changed in the kernel's table: a line for each socket of the stage that now stands otherwise.

The table is `kernel.socket_table`'s; sockets of the internet are not in it. `inside` tells the same of one socket of
one process; here all sockets are watched, for a connect is seen best in the accept queue of the other side. The words
are `held`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...kernel.socket_table import Table, entries_of
from ...model.socket_table import SocketEntry
from .held import OwnShutdowns, describe
from .shown import Names


class Watch:
    """Remembers how each socket stood; `look` tells of those that stand otherwise since.

    `own` is told which sockets were shut down.
    """

    def __init__(self, names: Names) -> None:
        self.own = OwnShutdowns()
        self._names = names
        self._before: dict[int, str] = {}

    def look(self, sockets: Mapping[int, str], *, while_waiting: bool = False) -> tuple[str, ...]:
        """The lines for a step, none where nothing can be asked. `sockets` are open after it: inode to what each is
        called. `while_waiting`: a call waits that has its limit, so that nothing is asked that takes long.
        """
        table = self._table(sockets, may_read_all=not while_waiting)
        if table is None:
            return ()
        now = {inode: self._describe(entry) for inode, entry in table.sockets.items()}
        changed = [
            f"{sockets[inode]}: {line}" for inode, line in now.items() if self._before.get(inode) != line
        ]
        self._before = now
        return tuple(changed)

    @staticmethod
    def _table(sockets: Mapping[int, str], *, may_read_all: bool) -> Table | None:
        try:
            return entries_of(sockets, may_read_all=may_read_all)
        except OSError:
            return None  # neither source can be read

    def _describe(self, entry: SocketEntry) -> str:
        own = self.own.of(entry.inode)
        return ", ".join(describe(entry, own, inode=self._names.inode, name=self._names.known))
