"""What else bears a name, where nothing is or nobody listens: near names, removed files, other namespaces.

Facts for the notes of `model.elsewhere`. Socket files beside the missing one are probed only where the kernel's table
does not have them, and only those that are few or near: a directory may hold thousands.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import replace

from ..kernel import namespaces
from ..kernel.approach import held
from ..kernel.front import second_base
from ..kernel.mounts import Superblocks
from ..kernel.owners import Owners, find_owners, seen_from_here
from ..kernel.sighting import probe as probe_datagram
from ..kernel.socket_table import Table
from ..model.address import Address, AddressKind
from ..model.errors import AddressError
from ..model.neighbours import nearest
from ..model.ownership import FileKind
from ..model.socket_table import FileIdentity, Owner, SocketEntry, TableState
from ..model.surroundings import Component, Elsewhere, Facts
from .standing import whole_table

_MOST_BESIDE = 20
"""Socket files beside the missing one that are looked at."""


def of_the_path(facts: Facts, beside: tuple[bytes, ...]) -> Facts:
    """`beside`: names that may be sockets' in the directory where the path ends."""
    table = whole_table()
    alive = {
        entry.file for entry in table.sockets.values() if entry.file is not None and entry.is_bound_itself
    }
    last = facts.way[-1]
    there = namespaces.other_namespaces()
    mounts = namespaces.bearers_in_other_mounts(
        _absolute(facts.address.name), there.places, is_alive=lambda file: _identity(file) in alive
    )
    return replace(
        facts,
        neighbours=(*_files_beside(facts, beside, alive), *_abstract_spellings(facts.address, table)),
        other_mounts=tuple(mounts),
        removed=_removed(table, _spellings(facts.address.name, last), last.identity),
        tapped=_behind_a_tap(last, alive),
        unseen_processes=there.unseen,
    )


def of_the_abstract(facts: Facts) -> Facts:
    there = namespaces.other_namespaces()
    return replace(
        facts,
        neighbours=(*_files_called(facts.address.name), *_abstract_names(whole_table())),
        other_networks=tuple(namespaces.bearers_of_abstract(facts.address, there.networks)),
        unseen_processes=there.unseen,
    )


def _spellings(path: bytes, last: Component) -> set[bytes]:
    absolute = _absolute(path)
    if not absolute.startswith(b"/"):
        return {path}
    real = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))
    return {path, absolute, real, _absolute(last.path)}


def _absolute(path: bytes) -> bytes:
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        return path  # the working directory was removed, and has no path any more


def _behind_a_tap(last: Component, alive: set[FileIdentity]) -> bytes | None:
    """What a tap that was killed together with its guardian has left: ours, stale, at the path, and theirs beside it."""
    if last.kind is not FileKind.SOCKET:
        return None
    directory, base = os.path.split(last.path)
    second = os.path.join(directory, second_base(base))
    return second if _is_alive(second, alive, Superblocks()) else None


# Neighbours


def _files_beside(facts: Facts, beside: tuple[bytes, ...], alive: set[FileIdentity]) -> Iterator[Address]:
    directory = os.path.dirname(facts.way[-1].path)
    files = list(_addresses(os.path.join(directory, name) for name in beside))
    if len(files) > _MOST_BESIDE:
        files = nearest(facts.address, files)[:_MOST_BESIDE]
    superblocks = Superblocks()
    files.sort(key=lambda one: one.name)
    return (address for address in files if _is_alive(address.name, alive, superblocks))


def _addresses(paths: Iterator[bytes]) -> Iterator[Address]:
    for path in paths:
        try:
            yield Address.pathname(path)
        except AddressError:
            continue


def _is_alive(path: bytes, alive: set[FileIdentity], superblocks: Superblocks) -> bool:
    """Is it a socket that a process has open?"""
    with held(path) as fd:
        if fd is None:
            return False
        file = os.fstat(fd)
        if not stat.S_ISSOCK(file.st_mode):
            return False
        identity = FileIdentity(superblocks.device_of(path, file), file.st_ino & 0xFFFFFFFF)
        return identity in alive or not _is_refused(fd)


def _is_refused(fd: int) -> bool:
    return probe_datagram(fd) == errno.ECONNREFUSED


def _identity(file: os.stat_result) -> FileIdentity:
    """As the table tells it: 32 bits of the inode."""
    return FileIdentity(file.st_dev, file.st_ino & 0xFFFFFFFF)


def _abstract_spellings(address: Address, table: Table) -> list[Address]:
    spellings = {address.name, address.name.removeprefix(b"./").removeprefix(b"@")}
    return [name for name in _abstract_names(table) if name.name in spellings]


def _abstract_names(table: Table) -> list[Address]:
    """Those that can be connected to."""
    entries = table.sockets.values()
    return sorted(
        {
            entry.address
            for entry in entries
            if entry.address.kind is AddressKind.ABSTRACT
            and (entry.type == "dgram" or entry.state is TableState.LISTENING)
        },
        key=lambda address: address.name,
    )


def _files_called(name: bytes) -> list[Address]:
    """A socket file `name`, or `@name`: what an address without or with the sign may have meant."""
    if b"\0" in name:
        return []
    return [Address.pathname(path) for path in (name, b"./@" + name) if name and _is_socket(path)]


def _is_socket(path: bytes) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


# Removed files


def _removed(table: Table, spellings: set[bytes], identity: FileIdentity | None) -> tuple[Elsewhere, ...]:
    """Sockets that were bound to the path, and that neither we nor their own process finds there any more."""
    entries = [
        entry
        for entry in table.sockets.values()
        if entry.address.kind is AddressKind.PATHNAME
        and entry.address.name.startswith(b"/")
        and entry.address.name in spellings
        and entry.is_bound_itself
        and (identity is None or entry.file != identity)
    ]
    owners = find_owners({entry.inode for entry in entries}) if entries else Owners()
    found = []
    for entry in entries:
        owner = next(iter(owners.of(entry.inode)), None)
        if owner is None or not _finds_it(owner, entry):
            found.append(Elsewhere(owner, entry.state, entry.type))
    return tuple(found)


def _finds_it(owner: Owner, entry: SocketEntry) -> bool:
    try:
        file = os.stat(seen_from_here(owner.pid, entry.address.name))
    except OSError:
        return False
    return (
        stat.S_ISSOCK(file.st_mode)
        and entry.file is not None
        and file.st_ino & 0xFFFFFFFF == entry.file.inode
    )
