"""`afunix ls --watch`: the list again and again, and what came (+), went (-) and changed (~) since the last look.

On a terminal the list stays in its place: the other screen of the terminal, each picture in one write, only as many
rows as there are lines, those that have a sign first of all; keys that are pressed are not shown. However a signal
that can be caught ends it, the terminal is as it was before.
Elsewhere the first list is printed, each row behind `=`, and then one line for each change.

A signal may come at any point, also while a list is made or written: it raises where it comes, and the second kills.
"""

from __future__ import annotations

import os
import signal
import termios
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from ..formats.columns import shorten
from ..formats.label import format_time
from ..formats.listing import CAME, CHANGED, SIGNS, WENT
from ..kernel.interrupts import ENDING, Interrupted
from ..model.arrangement import Change, difference, sort
from ..model.listing import Row
from ..tools.ls import Listing, Request, list_sockets
from .looks import Looks, is_terminal, tell_unseen, terminal_size
from .messages import Messages
from .stdout import is_abandoned, write

_PRESENT = "="
_NO_SIGN = " "

_LONGEST_WAIT_S = 1e6
"""What poll(2) can wait for; who waits longer gets a look too many every eleven days."""

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The other screen, no cursor, and no wrapping where the terminal thinks a character wider than we do."""
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""Between these two a terminal that knows them shows nothing half-done; others pass over them."""
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def watch_until_stopped(request: Request, looks: Looks, interval_s: float, messages: Messages) -> int:
    """Look every `interval_s` seconds until a signal ends it or STDOUT does; the status for the command."""
    if is_terminal() and looks.json is None:
        return _watch_in_place(request, looks, interval_s)
    return _watch_line_by_line(request, looks, interval_s, messages)


# -- where STDOUT is no terminal


def _watch_line_by_line(request: Request, looks: Looks, interval_s: float, messages: Messages) -> int:
    before: Listing | None = None
    while True:
        started = time.monotonic()
        listing = list_sockets(request)
        if before is None:
            for is_warning, words in tell_unseen(listing.unseen):
                (messages.warn if is_warning else messages.tell)(words)
            signed = [(_PRESENT, row) for row in listing.rows]
        else:
            signed = list(_signed(difference(before.rows, listing.rows), looks, before.rows))
        status = write(_told(signed, looks)) if signed else 0
        if status:
            return status
        before = listing
        if is_abandoned(min(_LONGEST_WAIT_S, max(0.0, interval_s - (time.monotonic() - started)))):
            return -signal.SIGPIPE


def _signed(change: Change, looks: Looks, before: Iterable[Row]) -> Iterator[tuple[str, Row]]:
    yield from ((WENT, row) for row in change.went)
    yield from ((CAME, row) for row in change.came)
    yield from ((CHANGED, row) for row in _changed_to_see(change, looks, before))


def _changed_to_see(change: Change, looks: Looks, before: Iterable[Row]) -> list[Row]:
    """A row where something is different that is shown."""
    if looks.json is not None:
        return list(change.changed)
    old = {row.key: row for row in before} if change.changed else {}
    line = looks.format.line
    return [row for row in change.changed if line(row).cells != line(old[row.key]).cells]


def _told(signed: Sequence[tuple[str, Row]], looks: Looks) -> str:
    now = format_time(time.time())
    if looks.json is not None:
        words = {**SIGNS, _PRESENT: "present"}
        lines = [looks.json.line(row, time=now, change=words[sign]) for sign, row in signed]
    else:
        signs = {id(row): f"{now} {sign}" for sign, row in signed}
        _, *lines = looks.render_rows([row for _, row in signed], None, lambda row: signs[id(row)], flat=True)
    return "\n".join(lines) + "\n"


# -- on a terminal


def _watch_in_place(request: Request, looks: Looks, interval_s: float) -> int:
    try:
        with _signals(), _Screen() as screen:
            return _draw_again_and_again(screen, request, looks, interval_s)
    except Interrupted as interrupted:
        return -interrupted.number


def _draw_again_and_again(screen: _Screen, request: Request, looks: Looks, interval_s: float) -> int:
    picture = _Picture(request, looks, interval_s)
    while True:
        started = time.monotonic()
        picture.look()
        status = write(picture.draw())
        while not status and (left := interval_s - (time.monotonic() - started)) > 0:
            came = signal.sigtimedwait(_SEEN_TO, left)
            if came is not None and came.si_signo == signal.SIGTSTP:
                screen.stop_until_continued()
            if came is not None:
                status = write(picture.draw())
        if status:
            return status


class _Picture:
    """What is on the screen: the last list, with signs where it differs from the one before."""

    def __init__(self, request: Request, looks: Looks, interval_s: float) -> None:
        self._request = request
        self._looks = looks
        self._title = f"every {interval_s:g} s"
        self._listing: Listing | None = None
        self._rows: list[Row] = []
        self._signs: dict[int, str] = {}
        self._counts = ""
        self._time = ""

    def look(self) -> None:
        """Make the next list. Rows that went are shown once more, where they were."""
        listing = list_sockets(self._request)
        change = difference(self._listing.rows, listing.rows) if self._listing is not None else Change()
        changed = _changed_to_see(change, self._looks, self._listing.rows if self._listing else ())
        self._signs = {
            id(row): sign
            for sign, rows in ((CAME, change.came), (WENT, change.went), (CHANGED, changed))
            for row in rows
        }
        self._rows = listing.rows
        if change.went:
            self._rows = sort([*listing.rows, *change.went], self._request.sort_by)
            if self._request.is_reversed:
                self._rows.reverse()
        counts = ((CAME, change.came), (WENT, change.went), (CHANGED, changed))
        self._counts = "".join(f"  {sign}{len(rows)}" for sign, rows in counts if rows)
        self._time = time.strftime("%H:%M:%S")
        self._listing = listing

    def draw(self) -> str:
        """The whole picture, as large as the terminal is now."""
        size = terminal_size() or os.terminal_size((80, 24))
        width = size.columns - 1  # erasing the rest of a full line would take its last character too
        assert self._listing is not None
        count = len(self._listing.rows)
        head = f"{self._time}  {count} {'row' if count == 1 else 'rows'}, {self._title}{self._counts}"
        foot = [words for _, words in tell_unseen(self._listing.unseen)]
        room = max(1, size.lines - 2 - len(foot))
        if len(self._rows) > room:
            room -= 1
            foot.insert(0, f"({len(self._rows) - room} more rows than fit here)")
        lines = self._looks.render_rows(self._shown(room), width, self._sign_of)
        plain = [shorten(head, width), *lines, *(shorten(words, width) for words in foot)]
        text = f"{_REST_OF_LINE}\r\n".join(plain[: size.lines])
        return f"{_BEGIN}{_HOME}{text}{_REST_OF_LINE}{_REST_OF_SCREEN}{_END}"

    def _sign_of(self, row: Row) -> str:
        return self._signs.get(id(row), _NO_SIGN)

    def _shown(self, room: int) -> list[Row]:
        """As many rows as there is room for: all that have a sign if they fit, and the first others, in their order."""
        if len(self._rows) <= room:
            return self._rows
        left = max(0, room - sum(id(row) in self._signs for row in self._rows))
        chosen = []
        for row in self._rows:
            if id(row) in self._signs:
                chosen.append(row)
            elif left:
                left -= 1
                chosen.append(row)
        return chosen[:room]


_ENDING = (*ENDING, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
"""Whatever kills by custom; a terminal must not stay as it was made for the list."""

_SEEN_TO = (signal.SIGWINCH, signal.SIGTSTP)
"""Waited for between two pictures; everything else is not disturbed by them."""


@contextmanager
def _signals() -> Iterator[None]:
    """The first ending signal raises Interrupted, the next one kills; _SEEN_TO are kept until they are asked for."""
    caught = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _raise) for number in caught}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SEEN_TO)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    for each in _ENDING:
        if signal.getsignal(each) is _raise:
            signal.signal(each, signal.SIG_DFL)
    raise Interrupted(number)


class _Screen:
    """The other screen of the terminal, with its keys not echoed; `__exit__` leaves both as they were."""

    def __init__(self) -> None:
        try:
            self._before: list[Any] | None = termios.tcgetattr(1)
        except termios.error:
            self._before = None

    def __enter__(self) -> _Screen:
        self.enter()
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()

    def enter(self) -> None:
        self._echo(False)
        write(_ENTER)

    def leave(self) -> None:
        write(_LEAVE)
        self._echo(True)

    def stop_until_continued(self) -> None:
        """Ctrl-Z: the shell gets its terminal back as it was."""
        self.leave()
        signal.raise_signal(signal.SIGSTOP)
        self.enter()

    def _echo(self, is_wanted: bool) -> None:
        before = self._before
        if before is not None and _is_in_foreground():  # from the background it would stop us (SIGTTOU)
            flags = before[3] if is_wanted else before[3] & ~termios.ECHO
            termios.tcsetattr(1, termios.TCSANOW, [*before[:3], flags, *before[4:]])


def _is_in_foreground() -> bool:
    """Also on a terminal that is not our session's, where there is no job control."""
    try:
        return os.tcgetpgrp(1) == os.getpgrp()
    except OSError:
        return True
