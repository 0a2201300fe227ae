"""The work of `afunix ls`: the kernel's table, who has what open, and socket files without anybody: one list.

Gathers (`kernel`), joins and chooses (`model.listing`). What cannot be seen is counted in Unseen, never guessed.
Anything may be gone between two looks: then it is not in the list, or one end of it is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..kernel import socket_files
from ..kernel.owners import Owners, find_owners, seen_from_here
from ..kernel.socket_table import Table, read_table
from ..model import arrangement, listing
from ..model.address import Address, AddressKind
from ..model.arrangement import Criteria
from ..model.listing import FileState, Row, RowState
from ..model.ownership import Verdict
from ..model.pattern import Pattern
from ..model.socket_table import SocketEntry


class Request(NamedTuple):
    """What is to be listed: rows that match any of `patterns` (none given: all) and meet `criteria`, sorted."""

    patterns: tuple[Pattern, ...] = ()
    criteria: Criteria = Criteria()
    sort_by: str = "address"
    is_reversed: bool = False

    @property
    def wants_files(self) -> bool:
        """May a socket file without a socket be in the list?"""
        criteria = self.criteria
        is_about_sockets = criteria.listening or criteria.connected or criteria.pids or criteria.types
        return criteria.stale or not is_about_sockets


class Unseen(NamedTuple):
    """What a list cannot tell: `sockets` in it without a process that may be seen, since `processes` may not be
    looked into; `cut_short` are directories that were not searched to their end. `is_partial`: the table had no
    peers and no queues (/proc/net/unix).
    """

    sockets: int = 0
    processes: int = 0
    cut_short: tuple[bytes, ...] = ()
    is_partial: bool = False


class Listing(NamedTuple):
    """The rows asked for, out of `total`; and what could not be seen."""

    rows: list[Row]
    total: int
    unseen: Unseen


def list_sockets(request: Request) -> Listing:
    """Look at everything once.

    Raises:
        OSError: the kernel's table cannot be read at all.
    """
    table = read_table()
    owners = find_owners(table.sockets.keys())
    rows = _Places(listing.join(table.sockets, owners.of), owners).rows()
    patterns, search = _look_around(request)
    if request.wants_files:
        rows += _without_socket(search.files, table)
    chosen = arrangement.choose(rows, request.criteria._replace(matches=_any_of(patterns)))
    chosen = arrangement.sort(chosen, request.sort_by)
    if request.is_reversed:
        chosen.reverse()
    ends = (end for row in chosen for end in (row.server, row.client))
    ownerless = {end.entry.inode for end in ends if end is not None and not end.owners}
    unseen = Unseen(len(ownerless), owners.unreadable, tuple(search.cut_short), not table.is_complete)
    return Listing(chosen, len(rows), unseen)


def _any_of(patterns: Sequence[Pattern]) -> Callable[[Row], bool] | None:
    if not patterns:
        return None
    return lambda row: any(pattern.matches(row) for pattern in patterns)


# -- where a name leads


class _Places:
    """Finds out what became of each file that a name was given to; each once, however many connections have it."""

    def __init__(self, rows: list[Row], owners: Owners) -> None:
        self._rows = rows
        self._owners = owners
        self._known: dict[tuple[Address, object], tuple[Address, FileState | None]] = {}

    def rows(self) -> list[Row]:
        """The rows with absolute addresses where they could be found, and what became of the files."""
        return [self._placed(row) for row in self._rows]

    def _placed(self, row: Row) -> Row:
        if row.server is None or row.address.kind is not AddressKind.PATHNAME:
            return row
        entry = row.server.entry
        key = (row.address, entry.file)
        place = self._known.get(key)
        if place is None:
            place = self._known[key] = self._look(entry)
        return Row(row.state, row.type, place[0], row.server, row.client, place[1])

    def _look(self, entry: SocketEntry) -> tuple[Address, FileState | None]:
        name = entry.address.name
        is_absolute = name.startswith(b"/") and not name.startswith(b"/proc/self/")
        owner = next(iter(self._owners.of(entry.inode)), None)
        path = seen_from_here(owner.pid, name) if owner is not None else name
        state = _state(path, entry)
        if state is not FileState.THERE:
            # A process may have gone elsewhere since it bound a relative name, or have another root than we.
            return entry.address, state if is_absolute and owner is not None else None
        return entry.address if is_absolute else _absolute(path, entry.address), state


def _state(path: bytes, entry: SocketEntry) -> FileState | None:
    if entry.file is None:
        return None
    try:
        inode = os.lstat(path).st_ino
    except FileNotFoundError:
        return FileState.GONE
    except OSError:
        return None
    # The table has 32 bits of an inode number, and on overlayfs another device than lstat(2).
    return FileState.THERE if inode & 0xFFFFFFFF == entry.file.inode else FileState.REPLACED


def _absolute(path: bytes, otherwise: Address) -> Address:
    """What `path`, which goes through /proc, leads to."""
    try:
        directory, base = os.path.split(path)
        return Address.pathname(os.path.join(os.path.realpath(directory, strict=True), base))
    except OSError:
        return otherwise


# -- files without a socket


def _look_around(request: Request) -> tuple[list[Pattern], socket_files.Search]:
    """The patterns with what is there for each, and the socket files of all of them."""
    everything = socket_files.Search()
    patterns = []
    for pattern in request.patterns:
        resolved, found = _resolve(pattern)
        patterns.append(resolved)
        everything.add(found)
    if request.wants_files and (not patterns or any(pattern.is_anywhere for pattern in patterns)):
        everything.add(socket_files.search(socket_files.usual_directories()))
    return patterns, everything


def _resolve(pattern: Pattern) -> tuple[Pattern, socket_files.Search]:
    """A pathname, with what is there."""
    if pattern.address is None or pattern.address.kind is not AddressKind.PATHNAME:
        return pattern, socket_files.Search()
    path = os.path.abspath(pattern.address.name)
    paths = tuple({path: None, os.path.realpath(path): None})
    is_directory = os.path.isdir(path)
    found = socket_files.search([path]) if is_directory else socket_files.Search()
    found.files.extend(socket_files.look_at(paths))
    resolved = replace(pattern, paths=paths, is_directory=is_directory, files=tuple(found.files))
    return resolved, found


_STATES = {
    Verdict.STALE: RowState.STALE,
    Verdict.LIVE: RowState.ELSEWHERE,
    Verdict.UNKNOWN: RowState.UNKNOWN,
}


def _without_socket(files: Iterable[socket_files.FoundFile], table: Table) -> list[Row]:
    """Rows for the files that no socket of the table was bound to; each file once."""
    bound = _bound_files(table)
    names = set() if table.is_complete else _bound_names(table)
    rows: dict[bytes, Row] = {}
    for file in files:
        if file.path in rows or any(map(file.is_of, bound.get(file.inode & 0xFFFFFFFF, ()))):
            continue
        state = _STATES.get(socket_files.verdict_on(file))
        if state is RowState.ELSEWHERE and not table.is_complete:
            if os.path.basename(file.path) in names:
                continue
            state = RowState.UNKNOWN  # it may be a socket that the table has under another name
        if state is not None:
            rows[file.path] = Row(state, None, Address.pathname(file.path), file_owner=file.owner)
    return list(rows.values())


def _bound_files(table: Table) -> dict[int, list[SocketEntry]]:
    bound: dict[int, list[SocketEntry]] = {}
    for entry in table.sockets.values():
        if entry.file is not None:
            bound.setdefault(entry.file.inode, []).append(entry)
    return bound


def _bound_names(table: Table) -> set[bytes]:
    """Where the table does not tell files, an equal name has to do for a file that answers to be that socket's."""
    return {os.path.basename(entry.address.name) for entry in table.sockets.values() if entry.address.is_unix}
