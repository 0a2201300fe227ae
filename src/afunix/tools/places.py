"""Where the names in a table lead: the absolute path of a relative one, and what became of a file. For `tools.ls`.

A name means what it means to the process that bound it: in its root, its directory. Whose process cannot be asked
stays as it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence

from ..kernel.mounts import Superblocks
from ..kernel.owners import Owners, seen_from_here
from ..kernel.proc_net_unix import answers
from ..model.address import Address, AddressKind
from ..model.listing import FileState, Row
from ..model.socket_table import Owner, SocketEntry, SocketPath

_Place = tuple[Address, FileState | None]


class Places:
    """Looks once at each file that a name was given to, however many connections bear it.

    `found` are socket files that were come across: where one of them is an entry's, that is where it is now.
    """

    def __init__(self, owners: Owners, found: Iterable[SocketPath] = ()) -> None:
        self._owners = owners
        self._superblocks = Superblocks()
        self._known: dict[tuple[Address, object], _Place] = {}
        self._found: dict[int, list[SocketPath]] = {}
        for file in found:
            self._found.setdefault(file.inode & 0xFFFFFFFF, []).append(file)

    def place(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with absolute addresses where they could be found, and what became of the files."""
        for row in rows:
            if row.server is not None and row.server.entry.is_bound_itself:
                self._place_of(row)  # who listens knows better than who was given a connection
        return [self._placed(row) for row in rows]

    def _placed(self, row: Row) -> Row:
        place = self._place_of(row)
        if place is None:
            return row
        return Row(row.state, row.type, place[0], row.server, row.client, place[1])

    def _place_of(self, row: Row) -> _Place | None:
        if row.server is None or row.address.kind is not AddressKind.PATHNAME:
            return None
        key = (row.address, row.server.entry.file)
        place = self._known.get(key)
        if place is None:
            place = self._known[key] = self._look(row.server.entry)
        return place

    def _look(self, entry: SocketEntry) -> _Place:
        name = entry.address.name
        owner = next(iter(self._owners.of(entry.inode)), None)
        if self._is_file_of(name, entry) and _is_absolute(name):
            return entry.address, FileState.THERE
        if owner is not None and self._is_file_of(path := seen_from_here(owner.pid, name), entry):
            return self._through(path, entry)
        for file in self._found.get(entry.file.inode if entry.file is not None else -1, ()):
            if file.is_of(entry):
                return Address.pathname(file.path), FileState.MOVED
        return entry.address, _what_became(name, owner)

    def _through(self, path: bytes, entry: SocketEntry) -> _Place:
        """It is there for its process, at `path`, which goes through /proc. For us too?"""
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if _is_absolute(entry.address.name) or not self._is_file_of(real, entry):
            return entry.address, FileState.OTHER_ROOT
        return Address.pathname(real), FileState.THERE

    def _is_file_of(self, path: bytes, entry: SocketEntry) -> bool:
        """Is there the very socket file? /proc/net/unix does not tell files: then any socket has to do."""
        try:
            file = os.lstat(path)
        except OSError:
            return False
        if not stat.S_ISSOCK(file.st_mode):
            return False
        if entry.file is None:
            return True
        return SocketPath(path, self._superblocks.device_of(path, file), file.st_ino).is_of(entry)


def _is_absolute(name: bytes) -> bool:
    return name.startswith(b"/") and not name.startswith(b"/proc/self/")


def _what_became(name: bytes, owner: Owner | None) -> FileState | None:
    """Of a file that is not where its name says. A process may have gone elsewhere since it bound a relative name."""
    if owner is None or not _is_absolute(name) or not _has_our_root(owner.pid):
        return None
    return FileState.REPLACED if os.path.lexists(name) else FileState.GONE


def _has_our_root(pid: int) -> bool:
    try:
        has_our_files = os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
        return has_our_files and os.path.samefile(f"/proc/{pid}/root", "/")
    except OSError:
        return False


def vouch(sockets: Mapping[int, SocketEntry], owners: Owners) -> dict[int, SocketEntry]:
    """Without the rows of /proc/net/unix that a name can have forged: nobody who may be seen has such a socket, and no
    socket answers to its name.
    """
    return {
        inode: entry
        for inode, entry in sockets.items()
        if entry.address.kind is AddressKind.UNNAMED or owners.of(inode) or answers(entry.address)
    }
