"""How a list of sockets looks at the shell: columns, a tree or JSON; colours; and the sentences on what is not in it.

`ls` shows a list once, `watching` again and again; both show it by a Looks. Colours are for a terminal only, and not
with NO_COLOR. What a cell says is `formats.listing`'s, how cells stand under each other `formats.columns`'.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..formats.columns import Line, is_comfortable, render
from ..formats.listing import COLUMNS, SIGN_COLUMN, TREE_COLUMNS, Detail, ListingFormat
from ..formats.listing_json import ListingJson
from ..model.arrangement import group
from ..model.escaping import quote
from ..model.listing import Row
from .messages import has_colour

if TYPE_CHECKING:
    from ..tools.ls import Unseen

_PAINT = {
    "title": "1",
    "listening": "32",
    "bound": "32",
    "half-closed": "33",
    "queued": "33",
    "hung-up": "33",
    "stale": "31",
    "unknown": "35",
    "elsewhere": "35",
    "unconnected": "2",
    "waits": "1;33",
    "came": "32",
    "went": "31",
    "changed": "33",
}
"""Style-words of `formats.listing` as parameters of SGR: trouble is red or yellow, what is as it should be is plain."""

_USUAL_COLUMNS = 80

_MOST_DIRECTORIES = 5
"""So many that may not be read are named."""


class Looks:
    """One way to show rows: in columns, as a tree, or as JSON."""

    def __init__(
        self, listing_format: ListingFormat, *, tree: bool = False, as_json: ListingJson | None = None
    ) -> None:
        self.format = listing_format
        self._formats = (listing_format, *map(listing_format.with_detail, (Detail.ONE, Detail.TERSE)))
        self.json = as_json
        self._is_tree = tree
        self._paint = _PAINT if has_colour(1) else None

    def render(self, rows: Sequence[Row], width: int | None) -> list[str]:
        """The lines of a list, the title first; JSON has none."""
        return self.render_rows(rows, width) if self.json is None else list(map(self.json.line, rows))

    def render_rows(
        self,
        rows: Sequence[Row],
        width: int | None,
        sign_of: Callable[[Row], str] | None = None,
        *,
        flat: bool = False,
    ) -> list[str]:
        """The same as text in any case; `flat`: not as a tree. `sign_of` a row is what stands in front of it."""
        is_tree = self._is_tree and not flat
        columns = TREE_COLUMNS if is_tree else COLUMNS
        if sign_of is not None:
            columns = (SIGN_COLUMN, *columns)
        lines: list[Line] = []
        for listing_format in self._formats:
            lines = _lines(listing_format, rows, sign_of, is_tree=is_tree)
            if width is None or is_comfortable(columns, lines, width):
                break
        return render(columns, lines, width=width, paint=self._paint)


def _lines(
    listing_format: ListingFormat,
    rows: Sequence[Row],
    sign_of: Callable[[Row], str] | None,
    *,
    is_tree: bool,
) -> list[Line]:
    if is_tree:
        return listing_format.tree(group(rows), sign_of)
    if sign_of is None:
        return list(map(listing_format.line, rows))
    return [listing_format.line(row, sign_of(row)) for row in rows]


def is_terminal() -> bool:
    """Is STDOUT a terminal that can do more than print?"""
    return os.isatty(1) and os.environ.get("TERM") != "dumb"


def terminal_size() -> os.terminal_size | None:
    """Columns and lines of the terminal that STDOUT is; None: it is none."""
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return None
    return size if size.columns else os.terminal_size((_USUAL_COLUMNS, 24))  # a serial line does not know


def tell_unseen(unseen: Unseen) -> Iterator[tuple[bool, str]]:
    """What the list cannot tell, a sentence each, and whether it is a warning: rows may be missing or half."""
    if unseen.is_partial:
        yield (
            True,
            "the kernel's table could not be asked by sock_diag(7): who is connected to whom, and what waits,"
            " is not known",
        )
    for directory in unseen.cut_short:
        yield (
            True,
            f"not all below {quote(directory)} was looked at, it is too much: a socket file may be missing in the list",
        )
    for directory in unseen.unreadable[:_MOST_DIRECTORIES]:
        yield (
            True,
            f"the directory {quote(directory)} may not be read (EACCES): what is in it is not in the list",
        )
    for pid in unseen.denied_pids:
        yield True, f"process {pid} may not be looked into (EACCES): what it has open is not known"
    if unseen.sockets:
        count = "1 socket has" if unseen.sockets == 1 else f"{unseen.sockets} sockets have"
        yield False, f"{count} no process that can be seen ('?'){_why(unseen)}"


def _why(unseen: Unseen) -> str:
    if unseen.hides_processes:
        return ": /proc hides other users' processes here (hidepid)"
    if not unseen.processes:
        return ": the kernel's own, on their way from one process to another, or in another PID namespace"
    others = "1 process" if unseen.processes == 1 else f"{unseen.processes} processes"
    return f": {others} may not be looked into" + ("; root may" if os.geteuid() else "")
