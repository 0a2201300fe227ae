"""The sockets that bear a name, and how they stand: the kernel's table first, and a probe where it leaves that open.

    the table has a socket that was bound to this very file      it is that one: no probe
    it has none, or sock_diag is refused                         the probe tells whether a process has it open, and the
                                                                 name, as its process sees it, which

A stream or seqpacket server never notices the probe, and a datagram server is left in peace where the table has it.
Somebody who waits looks often: a `Memory` spares him the whole table, which may have 100,000 sockets.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..kernel import namespaces
from ..kernel.owners import Owners, find_owners, leads_to
from ..kernel.processes import is_stopped
from ..kernel.sighting import probe as probe_datagram
from ..kernel.socket_table import Table, entries_of, read_table
from ..model.address import Address
from ..model.socket_table import SocketEntry, SocketPath, TableState
from ..model.surroundings import Bound, Facts
from . import trial

_OVERLAY = "overlay"


@dataclass(slots=True)
class Memory:
    """Which sockets the last look found for which file (or abstract name), so that the next one asks for them alone."""

    of: object = None
    inodes: tuple[int, ...] = ()
    is_stale: bool = False

    def recall(self, what: object) -> Table | None:
        """Those sockets as they stand now; None if the whole table has to be read."""
        if self.of != what or not self.inodes:
            return None
        try:
            table = entries_of(self.inodes, may_read_all=False)
        except OSError:
            return None
        return table if table is not None and len(table.sockets) == len(self.inodes) else None

    def remember(self, what: object, entries: Iterable[SocketEntry] = (), *, is_stale: bool = False) -> None:
        self.of, self.inodes, self.is_stale = what, tuple(entry.inode for entry in entries), is_stale


def whole_table() -> Table:
    """Empty where neither source can be read."""
    try:
        return read_table()
    except OSError:
        return Table({}, False)


# A path


def look_at_socket(facts: Facts, fd: int, memory: Memory, *, thorough: bool) -> Facts:
    """The facts about the socket file that `fd` holds."""
    file = os.fstat(fd)
    if facts.person.is_me:
        facts = replace(facts, may_write=os.access(f"/proc/self/fd/{fd}", os.W_OK, effective_ids=True))
    what = file.st_dev, file.st_ino, file.st_ctime_ns
    if memory.of == what and memory.is_stale and probe_datagram(fd) == errno.ECONNREFUSED:
        return replace(facts, probe=errno.ECONNREFUSED)  # nobody binds to a file that is there
    table = memory.recall(what) or whole_table()
    there = _bound_to(table, facts, file)
    is_certain = bool(there) and there[0].is_bound_itself
    answer = None if is_certain else probe_datagram(fd)
    facts = replace(facts, probe=answer, is_complete=table.is_complete)
    if answer == errno.ECONNREFUSED:
        memory.remember(what, is_stale=True)
        return _beneath(facts, table, file) if thorough else facts
    there = there or _themselves(_by_name(table, facts.address.name, file))
    memory.remember(what, there)
    facts = replace(facts, bound=_bound(facts, there, thorough=thorough))
    return _in_other_networks(facts, file) if thorough and not there else facts


def _bound_to(table: Table, facts: Facts, file: os.stat_result) -> list[SocketEntry]:
    """The sockets that were bound to the very file; none where the table tells no files."""
    last = facts.last
    assert last is not None
    device = last.mount.device if last.mount is not None else file.st_dev
    place = SocketPath(last.path, device, file.st_ino)
    return _themselves([entry for entry in table.sockets.values() if place.is_of(entry)])


def _themselves(entries: list[SocketEntry]) -> list[SocketEntry]:
    """Those that were bound themselves. Without one, what bears the name: a client that was bound and is connected
    looks like what a listener accepted.
    """
    return [entry for entry in entries if entry.is_bound_itself] or entries


def _by_name(table: Table, path: bytes, file: os.stat_result) -> list[SocketEntry]:
    """By the name, as it leads to the file from where the process stands, or where that is not seen as it was given."""
    base = os.path.basename(path)
    alike = [entry for entry in table.sockets.values() if os.path.basename(entry.address.name) == base]
    if not alike:
        return []
    owners = find_owners({entry.inode for entry in alike})
    found = [entry for entry in alike if _finds_it(entry, owners, file)]
    if found or table.is_complete:
        return found
    return [entry for entry in alike if entry.address.name == path]


def _finds_it(entry: SocketEntry, owners: Owners, file: os.stat_result) -> bool:
    return any(leads_to(owner.pid, entry.address.name, file) for owner in owners.of(entry.inode))


def _beneath(facts: Facts, table: Table, file: os.stat_result) -> Facts:
    """Nobody has this inode open; on an overlay somebody may have the one that it was made from."""
    last = facts.last
    if last is None or last.mount is None or last.mount.file_system != _OVERLAY:
        return facts
    base, inode = os.path.basename(last.path), file.st_ino & 0xFFFFFFFF
    there = [
        entry
        for entry in table.sockets.values()
        if entry.is_bound_itself
        and entry.file is not None
        and entry.file.inode == inode
        and os.path.basename(entry.address.name) == base
    ]
    return replace(facts, beneath=_bound(facts, there, thorough=True))


def _in_other_networks(facts: Facts, file: os.stat_result) -> Facts:
    there = namespaces.other_namespaces()
    bearers = namespaces.bearers_of_path(facts.address, file, there.networks)
    return replace(facts, other_networks=tuple(bearers), unseen_processes=there.unseen)


# An abstract name


def look_at_abstract(facts: Facts, memory: Memory, *, thorough: bool) -> Facts:
    table = memory.recall(facts.address) or whole_table()
    there = _themselves([entry for entry in table.sockets.values() if entry.address == facts.address])
    memory.remember(facts.address, there)
    facts = replace(facts, is_complete=table.is_complete)
    if not table.is_complete and any(_was_connected_to(entry) for entry in there):
        facts = replace(facts, probe=trial.datagram_probe(facts.address))
    return replace(facts, bound=_bound(facts, there, thorough=thorough))


# Both


def _was_connected_to(entry: SocketEntry) -> bool:
    """A datagram socket that has a peer, or that another one was connected to: to do so once more changes nothing."""
    return entry.type == "dgram" and entry.state is TableState.CONNECTED and entry.peer is None


def _bound(facts: Facts, entries: list[SocketEntry], *, thorough: bool) -> tuple[Bound, ...]:
    if not thorough:
        return tuple(map(Bound, entries))
    waiting = {inode for entry in entries for inode in entry.waiting}
    owners = find_owners({entry.inode for entry in entries} | waiting) if entries else Owners()
    return tuple(
        replace(_with_owners(entry, owners), is_full=_is_full(facts.address, entry)) for entry in entries
    )


def _with_owners(entry: SocketEntry, owners: Owners) -> Bound:
    holders = tuple(owners.of(entry.inode))
    clients = tuple(owner for inode in entry.waiting for owner in owners.of(inode)[:1])
    return Bound(entry, holders, clients, frozenset(owner.pid for owner in holders if is_stopped(owner.pid)))


def _is_full(address: Address, entry: SocketEntry) -> bool | None:
    """Of a datagram socket with something unread; None where asking would leave a trace."""
    if not entry.unread or not _was_connected_to(entry):
        return None
    return trial.queue_is_full(address)
