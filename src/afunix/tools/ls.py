"""The work of `afunix ls`: the kernel's table, who has what open, and socket files without anybody: one list.

Gathers (`kernel`), joins and chooses (`model.listing`). What cannot be seen is counted in Unseen, never guessed.
Anything may be gone between two looks: then it is not in the list, or one end of it is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..kernel import processes, socket_files
from ..kernel.owners import find_owners
from ..kernel.socket_table import Table, read_table
from ..model import arrangement, listing
from ..model.address import Address, AddressKind
from ..model.arrangement import Criteria
from ..model.listing import Row, RowState
from ..model.ownership import Verdict
from ..model.pattern import Pattern
from ..model.socket_table import SocketEntry
from .places import Places, vouch


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
    looked into; `cut_short` are directories that were not searched to their end, `unreadable` those that may not be
    read, of those that were named. `is_partial`: the table had no peers and no queues (/proc/net/unix). `denied_pids`
    were asked for and may not be looked into; `hides_processes`: /proc does not show other users' at all.
    """

    sockets: int = 0
    processes: int = 0
    cut_short: tuple[bytes, ...] = ()
    is_partial: bool = False
    unreadable: tuple[bytes, ...] = ()
    denied_pids: tuple[int, ...] = ()
    hides_processes: bool = False


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
    sockets = table.sockets if table.is_complete else vouch(table.sockets, owners)
    patterns, search = _look_around(request)
    rows = Places(owners, search.files).place(listing.join(sockets, owners.of))
    if request.wants_files:
        rows += _without_socket(search.files, table)
    chosen = arrangement.choose(rows, request.criteria._replace(matches=_any_of(patterns)))
    chosen = arrangement.sort(chosen, request.sort_by)
    if request.is_reversed:
        chosen.reverse()
    ends = (end for row in chosen for end in (row.server, row.client))
    ownerless = {end.entry.inode for end in ends if end is not None and not end.owners}
    unseen = Unseen(
        len(ownerless),
        len(owners.denied),
        tuple(search.cut_short),
        not table.is_complete,
        tuple(search.unreadable),
        tuple(sorted(owners.denied & request.criteria.pids)),
        processes.are_hidden() if ownerless else False,
    )
    return Listing(chosen, len(rows), unseen)


def _any_of(patterns: Sequence[Pattern]) -> Callable[[Row], bool] | None:
    if not patterns:
        return None
    return lambda row: any(pattern.matches(row) for pattern in patterns)


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
        customary = socket_files.search(
            socket_files.usual_directories(), max_entries=socket_files.CUSTOMARY_ENTRIES
        )
        customary.unreadable.clear()  # other users' directories, of which nobody has spoken
        everything.add(customary)
    return patterns, everything


def _resolve(pattern: Pattern) -> tuple[Pattern, socket_files.Search]:
    """A pathname, with what is there."""
    if pattern.address is None or pattern.address.kind is not AddressKind.PATHNAME:
        return pattern, socket_files.Search()
    path = os.path.abspath(pattern.address.name)
    if pattern.glob is not None and not os.path.lexists(path):
        return pattern, socket_files.Search()
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
