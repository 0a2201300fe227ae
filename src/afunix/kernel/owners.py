"""Which processes have a socket open: for people to read, and for no decision.

/proc/PID/fd tells the inodes of a process's sockets, of one's own processes without root. A process may be gone,
and a descriptor closed, while it is looked at: then it is left out. For the words of a refusal the holders of a
*name* are wanted. A name is the one given to bind(2): of a path that was renamed it is the old one, of a relative
path it is relative to a directory that nobody remembers; so a candidate counts only if the name, looked up where
its process stands, leads to the very file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from ..model.address import AddressKind
from ..model.ownership import Holder
from ..model.socket_table import Owner, SocketEntry
from .names import comm_of
from .processes import alive, all_pids
from .socket_table import read_table

__all__ = [
    "Holder",
    "Owners",
    "find_owners",
    "holders_of_abstract",
    "holders_of_path",
    "leads_to",
    "seen_from_here",
]

_SOCKET = "socket:["
_THROUGH_DESCRIPTOR = b"/proc/self/fd/"


@dataclass(slots=True)
class Owners:
    """Who has which socket open, as far as it may be seen; the processes `denied` may not be looked into."""

    by_inode: dict[int, list[Owner]] = field(default_factory=dict)
    denied: frozenset[int] = frozenset()

    def of(self, inode: int) -> list[Owner]:
        """The processes that have the socket `inode` open, by pid and descriptor; empty if none can be seen."""
        return self.by_inode.get(inode, [])


def find_owners(inodes: Collection[int] | None = None) -> Owners:
    """Look through all processes that may be looked into, for the sockets `inodes` (None: for any)."""
    owners = Owners()
    denied = []
    for pid in all_pids():
        try:
            found = list(_sockets_of(pid, inodes))
        except PermissionError:
            denied.append(pid)
            continue
        if found:
            comm, uid = comm_of(pid), effective_uid(pid)
            for fd, inode in found:
                owners.by_inode.setdefault(inode, []).append(Owner(pid, fd, comm, uid))
    owners.denied = frozenset(alive(denied))
    return owners


def holders_of_path(path: str | bytes) -> list[Holder]:
    """Processes with a socket open whose file is the one at `path`, by pid; empty if none can be seen."""
    try:
        file = os.lstat(path)
    except OSError:
        return []
    base = os.path.basename(os.fsencode(path))

    def has_that_name(entry: SocketEntry) -> bool:
        return entry.address.kind is AddressKind.PATHNAME and os.path.basename(entry.address.name) == base

    bound = _bound(has_that_name)
    return _holders(bound, lambda pid, name: leads_to(pid, name, file))


def holders_of_abstract(name: bytes) -> list[Holder]:
    """Processes with a socket open that is bound to the abstract `name` (no leading NUL), by pid."""
    bound = _bound(lambda entry: entry.address.kind is AddressKind.ABSTRACT and entry.address.name == name)
    return _holders(bound, lambda pid, name: True)


def leads_to(pid: int, name: bytes, file: os.stat_result) -> bool:
    """Does the bound `name`, looked up where the process `pid` stands, lead to `file`?"""
    try:
        return os.path.samestat(os.lstat(seen_from_here(pid, name)), file)
    except OSError:
        return False


def seen_from_here(pid: int, name: bytes) -> bytes:
    """The path that leads to what `name` means where the process `pid` stands: in its root, in its directory."""
    process = b"/proc/%d" % pid
    if name.startswith(_THROUGH_DESCRIPTOR):
        return process + name.removeprefix(b"/proc/self")
    return process + (b"/root" if name.startswith(b"/") else b"/cwd/") + name


def effective_uid(pid: int) -> int | None:
    """From /proc/PID/status: /proc/PID itself is root's for a process that changed its uid (proc(5))."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            found = re.search(rb"^Uid:\t[0-9]+\t([0-9]+)", file.read(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found is not None else None


def _bound(is_wanted: Callable[[SocketEntry], bool]) -> dict[int, bytes]:
    """Inode and name of each wanted socket that was bound itself; what a listener accepted bears its name too."""
    try:
        sockets = read_table().sockets.values()
    except OSError:
        return {}
    return {
        entry.inode: entry.address.name for entry in sockets if is_wanted(entry) and entry.is_bound_itself
    }


def _holders(names: dict[int, bytes], is_it: Callable[[int, bytes], bool]) -> list[Holder]:
    holders: dict[int, Holder] = {}
    for inode, owners in (find_owners(names).by_inode if names else {}).items():
        for owner in owners:
            if is_it(owner.pid, names[inode]):
                holders[owner.pid] = Holder(owner.pid, owner.comm, owner.uid)
    return [holders[pid] for pid in sorted(holders)]


def _sockets_of(pid: int, inodes: Collection[int] | None) -> Iterator[tuple[int, int]]:
    """Descriptor and inode of each socket of a process; nothing if it is gone.

    Raises:
        PermissionError: it is not ours to look into.
    """
    try:
        directory = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        raise
    except OSError:
        return
    try:
        for fd in os.listdir(directory):
            try:
                target = os.readlink(fd, dir_fd=directory)
            except (FileNotFoundError, ProcessLookupError):
                continue  # closed since it was listed
            if target.startswith(_SOCKET):
                inode = int(target[len(_SOCKET) : -1])
                if inodes is None or inode in inodes:
                    yield int(fd), inode
    except (FileNotFoundError, ProcessLookupError):
        return  # it ended meanwhile
    finally:
        os.close(directory)
