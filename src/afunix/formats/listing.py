"""`afunix ls`: a row of the list as text in columns, or as a branch of a tree. Pure; as JSON: `listing_json`.

    STATE      TYPE    ADDRESS         SERVER             CLIENT           QUEUE
    listening  stream  /run/app.sock   ana app[412,413]:5                  0/4096
    connected  stream  /run/app.sock   ana app[412]:9     bob nc[500]:3    →12K ←3

QUEUE of a listener is who waits in its backlog of how many; of a connection the bytes that wait for the server
to read (→) and for the client (←). `?` is what could not be seen. Names are somebody else's: they are escaped, and
quoted wherever they hold anything that the frame around them is made of, so that no name can look like a column, a
process or a branch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import lru_cache

from ..model.address import Address, AddressKind
from ..model.arrangement import Group
from ..model.escaping import escape
from ..model.listing import End, FileState, Row, RowState
from ..model.socket_table import Owner
from .columns import Column, Line

COLUMNS = (
    Column("STATE"),
    Column("TYPE"),
    Column("ADDRESS", least=8, first_to=20),
    Column("SERVER", least=8),
    Column("CLIENT", least=8),
    Column("QUEUE"),
)
TREE_COLUMNS = (
    Column("ADDRESS / CLIENT", least=12, first_to=28),
    Column("STATE"),
    Column("TYPE"),
    Column("SERVER", least=8),
    Column("QUEUE"),
)
SIGN_COLUMN = Column("")

CAME, WENT, CHANGED = "+", "-", "~"
SIGNS = {CAME: "came", WENT: "went", CHANGED: "changed"}
"""What a later look shows in front of a row, and the word for it: style-word here, `change` in JSON."""

UNKNOWN = "?"
_CLOSED = "(closed)"
_BRANCH, _LAST_BRANCH = "├─ ", "└─ "
_MARKS: dict[FileState | None, str] = {
    state: f" ({state.value})" for state in (FileState.GONE, FileState.REPLACED, FileState.OTHER_ROOT)
}
_REMEMBERED = 1 << 14

_PLAIN_PATH = re.compile(r"[\w./@:%+,=~^#$&!*;<>|\\{}-]*")
_PLAIN_NAME = re.compile(r"[\w./+%=~^@#\\-]+")
_FROM_THE_RIGHT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_LEFT_AGAIN = "\u200e"
"""LEFT-TO-RIGHT MARK: keeps a terminal that knows right-to-left scripts from drawing what follows before the name."""


def show_name(name: str) -> str:
    """A process's or user's name, quoted unless it can be nothing but one word."""
    return _shown(name, _PLAIN_NAME)


@lru_cache(_REMEMBERED)
def show_address(address: Address) -> str:
    """As it may be written, or quoted; a file called `@x` is `./@x`."""
    if address.kind is AddressKind.UNNAMED:
        return "(unnamed)"
    return _shown(address.format(), _PLAIN_PATH)


@lru_cache(_REMEMBERED)
def _shown(name: str, plain: re.Pattern[str]) -> str:
    text = escape(name)
    if not plain.fullmatch(text):
        text = "'" + text.replace("'", "\\'") + "'"
    return text + _LEFT_AGAIN if _FROM_THE_RIGHT.search(text) else text


class Detail(Enum):
    """How much of the processes at an end is told: all, the first four, one, or that one without its user."""

    ALL = "all"
    SOME = "some"
    ONE = "one"
    TERSE = "terse"


class ListingFormat:
    """Rows to lines. `user_name(uid)` is the user's name or None."""

    def __init__(self, user_name: Callable[[int], str | None], detail: Detail = Detail.SOME) -> None:
        self._user_name = user_name
        self._limit = _PROCESSES_TOLD[detail]
        self._tells_users = detail is not Detail.TERSE
        self._users: dict[int | None, str] = {None: UNKNOWN}
        self._addresses: dict[int, tuple[Address, str]] = {}  # by identity: hashing costs more than showing

    def with_detail(self, detail: Detail) -> ListingFormat:
        """The same with more or less of the processes."""
        return ListingFormat(self._user_name, detail)

    def line(self, row: Row, sign: str | None = None) -> Line:
        """The cells of COLUMNS; behind SIGN_COLUMN if there is a `sign` (a space for none)."""
        server, client = row.server, row.client
        at_server = self._end(server) if server is not None else self._missing(row)
        at_client = self._end(client) if client is not None else self._missing(row)
        if server is None and client is None:
            at_client = ""
        state = row.state.value
        queue, queue_style = _queue(row)
        line = Line(
            (state, row.type or "", self._place(row), at_server, at_client, queue),
            (state, "", "", "", "", queue_style),
        )
        return line if sign is None else _signed(line, sign)

    def tree(self, groups: Iterable[Group], sign_of: Callable[[Row], str] | None = None) -> list[Line]:
        """The cells of TREE_COLUMNS: each server, and under it its clients."""
        lines = []
        for group in groups:
            lines.append(_signed(self._head(group.head), sign_of and sign_of(group.head)))
            last = len(group.members) - 1
            for place, row in enumerate(group.members):
                branch = _BRANCH if place < last else _LAST_BRANCH
                lines.append(_signed(self._member(row, branch), sign_of and sign_of(row)))
        return lines

    def _head(self, row: Row) -> Line:
        address = self._place(row)
        if row.client is not None:
            address += f" ⇄ {self._end(row.client)}"
        return self._branch(row, address)

    def _member(self, row: Row, branch: str) -> Line:
        return self._branch(
            row, branch + (self._end(row.client) if row.client is not None else self._missing(row))
        )

    def _branch(self, row: Row, first_cell: str) -> Line:
        state = row.state.value
        server = self._end(row.server) if row.server is not None else self._missing(row)
        queue, queue_style = _queue(row)
        return Line((first_cell, state, row.type or "", server, queue), ("", state, "", "", queue_style))

    def _place(self, row: Row) -> str:
        """The address, and what became of its file. Connections of a listener share one object."""
        address = row.address
        known = self._addresses.get(id(address))
        if known is None:
            known = self._addresses[id(address)] = (address, show_address(address))
        return known[1] + _MARKS.get(row.file, "")

    def _missing(self, row: Row) -> str:
        """In place of an end that is not there."""
        if row.state is RowState.HUNG_UP:
            return _CLOSED
        if row.state in (RowState.CONNECTED, RowState.HALF_CLOSED):
            return UNKNOWN
        if row.server is None and row.file_owner is not None:
            return f"file of {self._user(row.file_owner)}"
        return ""

    def _end(self, end: End) -> str:
        owners = end.owners
        if len(owners) == 1:
            (owner,) = owners
            return f"{self._whose(owner.uid)}{_comm(owner)}[{owner.pid}]:{owner.fd}"
        if not owners:
            return f"{self._user(end.entry.uid)} {UNKNOWN}"
        return self._shared(owners)

    def _shared(self, owners: Sequence[Owner]) -> str:
        """`ana app[412,413]:5, root sh[7]:3`; processes of one name with the same descriptors stand together."""
        fds: dict[int, list[int]] = {}
        for owner in owners:
            fds.setdefault(owner.pid, []).append(owner.fd)
        shown = {owner.pid: owner for owner in owners}
        left_out = 0
        if self._limit is not None and len(shown) > self._limit:
            left_out = len(shown) - self._limit
            shown = dict(list(shown.items())[: self._limit])
        alike: dict[tuple[str, str, str], list[int]] = {}
        for pid, owner in shown.items():
            key = (self._user(owner.uid), _comm(owner), ",".join(map(str, fds[pid])))
            alike.setdefault(key, []).append(pid)
        texts = []
        user_before = None
        for (user, comm, numbers), pids in alike.items():
            whose = "" if user == user_before or not self._tells_users else f"{user} "
            texts.append(f"{whose}{comm}[{','.join(map(str, pids))}]:{numbers}")
            user_before = user
        return ", ".join(texts) + (f" +{left_out}" if left_out else "")

    def _whose(self, uid: int | None) -> str:
        return f"{self._user(uid)} " if self._tells_users else ""

    def _user(self, uid: int | None) -> str:
        shown = self._users.get(uid)
        if shown is None:
            assert uid is not None
            name = self._user_name(uid)
            shown = self._users[uid] = f"uid:{uid}" if name is None else show_name(name)
        return shown


_PROCESSES_TOLD = {Detail.ALL: None, Detail.SOME: 4, Detail.ONE: 1, Detail.TERSE: 1}


# -- cells


def _signed(line: Line, sign: str | None) -> Line:
    if sign is None:
        return line
    word = SIGNS.get(sign)
    styles = (word,) * (len(line.cells) + 1) if word is not None else ("", *line.styles)
    return Line((sign, *line.cells), styles)


def _comm(owner: Owner) -> str:
    return UNKNOWN if owner.comm is None else show_name(owner.comm)


def _queue(row: Row) -> tuple[str, str]:
    """What waits, and the style-word for it: somebody who waits is worth a look."""
    server = row.server.entry if row.server is not None else None
    client = row.client.entry if row.client is not None else None
    if row.state is RowState.LISTENING and server is not None:
        if server.queued is None:
            return UNKNOWN, ""
        return f"{server.queued}/{server.backlog}", "waits" if server.queued else ""
    if row.state is RowState.QUEUED or (server is None and client is None):
        return "", ""
    to_server = server.unread if server is not None else 0
    to_client = client.unread if client is not None else 0
    if not to_server and not to_client:
        is_known = row.type == "dgram" or (to_server is not None and to_client is not None)
        return "0" if is_known else UNKNOWN, ""
    return _both_ways(to_server, to_client, row.type == "dgram"), "waits"


def _both_ways(to_server: int | None, to_client: int | None, is_first_only: bool) -> str:
    """Of a datagram socket the kernel tells the length of the first datagram, and not how many there are."""
    ways = (("→", to_server), ("←", to_client))
    least = "≥" if is_first_only else ""
    return " ".join(f"{arrow}{least}{format_size(count)}" for arrow, count in ways if count)


def format_size(count: int) -> str:
    """`999`, `12K`, `1.5M`: 1024 a step, two or three digits."""
    if count < 1000:
        return str(count)
    size, unit = count / 1024, "K"
    for larger in "MG":
        if size >= 999.5:
            size, unit = size / 1024, larger
    return f"{size:.1f}{unit}" if size < 9.95 else f"{size:.0f}{unit}"
