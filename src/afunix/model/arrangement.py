"""Which rows of a list are wanted, in which order, under which server, and what changed since the last look. Pure.

`listing` makes the rows; here nothing is added to one and nothing taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .address import AddressKind
from .listing import End, Row, RowState

_CONNECTED_STATES = {RowState.CONNECTED, RowState.HALF_CLOSED, RowState.QUEUED, RowState.HUNG_UP}


class Criteria(NamedTuple):
    """Which rows are wanted. Kinds are alternatives, as are pids and users; a row has to meet each sort that is given.

    `matches` decides about names, and is None where any will do.
    """

    listening: bool = False
    connected: bool = False
    stale: bool = False
    types: frozenset[str] = frozenset()
    pids: frozenset[int] = frozenset()
    uids: frozenset[int] = frozenset()
    matches: Callable[[Row], bool] | None = None

    @property
    def states(self) -> set[RowState]:
        """Those that are wanted; empty: any."""
        wanted: set[RowState] = set()
        if self.listening:
            wanted |= {RowState.LISTENING, RowState.BOUND}
        if self.connected:
            wanted |= _CONNECTED_STATES
        if self.stale:
            wanted |= {RowState.STALE}
        return wanted


def choose(rows: Iterable[Row], criteria: Criteria) -> list[Row]:
    """The rows that meet the criteria, in their order."""
    tests = list(_tests(criteria))
    return [row for row in rows if all(test(row) for test in tests)]


def _tests(criteria: Criteria) -> Iterable[Callable[[Row], bool]]:
    states = criteria.states
    if states:
        yield lambda row: row.state in states
    if criteria.types:
        yield lambda row: row.type in criteria.types
    if criteria.pids:
        yield lambda row: any(owner.pid in criteria.pids for end in row.ends for owner in end.owners)
    if criteria.uids:
        yield lambda row: not criteria.uids.isdisjoint(users_of(row))
    if criteria.matches is not None:
        yield criteria.matches


def users_of(row: Row) -> set[int]:
    """The uids that a row is about: of its processes, or where none can be seen, of who created the socket."""
    uids = {uid for end in row.ends for uid in _users_at(end)}
    return uids if row.file_owner is None else uids | {row.file_owner}


def _users_at(end: End) -> set[int]:
    seen = {owner.uid for owner in end.owners if owner.uid is not None}
    return seen or ({end.entry.uid} if end.entry.uid is not None else set())


_NO_PID = 1 << 32
_FDS = 1 << 32
_STATE_ORDER = {state: place for place, state in enumerate(RowState)}


def _address_key(row: Row) -> tuple[object, ...]:
    """Named first, by name; under a name the listener first, then its connections by the client's pid and descriptor."""
    return (
        row.address.kind is AddressKind.UNNAMED,
        row.address.kind is AddressKind.ABSTRACT,
        row.address.name,
        _STATE_ORDER[row.state],
        _first_owner(row.client or row.server),
    )


def _first_owner(end: End | None) -> int:
    """Its pid, then its descriptor, in one number that is quick to compare."""
    if end is None or not end.owners:
        return _NO_PID * _FDS
    owner = end.owners[0]
    return owner.pid * _FDS + owner.fd


def _total_unread(row: Row) -> int:
    return (row.unread_by_server or 0) + (row.unread_by_client or 0)


def _queue_length(row: Row) -> int:
    return (row.server.entry.queued or 0) if row.server is not None else 0


SORT_KEYS: dict[str, Callable[[Row], tuple[object, ...]]] = {
    "address": _address_key,
    "pid": lambda row: (min(map(_first_owner, row.ends), default=_NO_PID * _FDS), *_address_key(row)),
    "user": lambda row: (min(users_of(row), default=_NO_PID), *_address_key(row)),
    "type": lambda row: (row.type or "", *_address_key(row)),
    "state": lambda row: (_STATE_ORDER[row.state], *_address_key(row)),
    "queue": lambda row: (-_queue_length(row), -_total_unread(row), *_address_key(row)),
    "unread": lambda row: (-_total_unread(row), -_queue_length(row), *_address_key(row)),
}
"""What a list can be sorted by; `queue` and `unread` have the longest first."""


def sort(rows: Iterable[Row], by: str = "address") -> list[Row]:
    """The rows in the order `by`, a key of SORT_KEYS; whatever is equal there stands by address."""
    return sorted(rows, key=SORT_KEYS[by])


# -- a list as a tree, and what changed from one list to the next


class Group(NamedTuple):
    """A server's row with the rows of its clients; or a row that belongs to no server, alone."""

    head: Row
    members: tuple[Row, ...] = ()


def group(rows: Sequence[Row]) -> list[Group]:
    """Clients under their server, in the order of the rows. A client whose server's row is not there is its own head."""
    members: dict[object, list[Row]] = {_served_at(row): [] for row in rows if _is_head(row)}
    loose: list[Row] = []
    for row in rows:
        if not _is_head(row):
            members.get(_served_at(row), loose).append(row)
    heads = {id(row) for row in loose}
    return [
        Group(row, tuple(members[_served_at(row)]) if _is_head(row) else ())
        for row in rows
        if _is_head(row) or id(row) in heads
    ]


def _is_head(row: Row) -> bool:
    return row.state in (RowState.LISTENING, RowState.BOUND)


def _served_at(row: Row) -> object:
    """Type, name and file. Of two listeners that had one abstract name one after the other nothing tells whose a
    connection is.
    """
    entry = row.server.entry if row.server is not None else None
    return (row.type, row.address, entry.file if entry is not None else None)


class Change(NamedTuple):
    """What is different in a later list: rows that came, that went, and that stand differently now."""

    came: tuple[Row, ...] = ()
    went: tuple[Row, ...] = ()
    changed: tuple[Row, ...] = ()


def difference(before: Iterable[Row], after: Iterable[Row]) -> Change:
    """What happened between two lists; rows are told apart by their `key`."""
    old = {row.key: row for row in before}
    new = {row.key: row for row in after}
    return Change(
        came=tuple(row for key, row in new.items() if key not in old),
        went=tuple(row for key, row in old.items() if key not in new),
        changed=tuple(row for key, row in new.items() if key in old and old[key] != row),
    )
