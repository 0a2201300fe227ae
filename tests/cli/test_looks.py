"""How a list is shown: as much of its processes as there is room for, colours where they are wanted, what is missing."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios

import pytest

from afunix.cli.looks import Looks, tell_unseen, terminal_size
from afunix.formats.columns import display_width
from afunix.formats.listing import ListingFormat
from afunix.formats.listing_json import ListingJson
from afunix.model.address import Address
from afunix.model.listing import End, Row, RowState
from afunix.model.socket_table import Owner, SocketEntry, TableState
from afunix.tools.ls import Unseen

LONG = Address.pathname("/run/some/where/deep/below/app.sock")


def row(processes: int = 3) -> Row:
    entry = SocketEntry(7, "stream", TableState.LISTENING, LONG, queued=0, backlog=128, uid=1000)
    owners = tuple(Owner(pid, 5, "application", 1000) for pid in range(100, 100 + processes))
    return Row(RowState.LISTENING, "stream", LONG, End(entry, owners))


def shown(width: int | None, *, tree: bool = False) -> str:
    return "\n".join(Looks(ListingFormat({1000: "ana"}.get), tree=tree).render([row()], width))


@pytest.mark.parametrize(
    ("width", "end"),
    [
        (None, "ana application[100,101,102]:5"),
        (200, "ana application[100,101,102]:5"),
        (84, "  ana application[100]:5 +2  "),
        (80, "  application[100]:5 +2  "),
    ],
)
def test_the_narrower_the_terminal_the_less_is_told_of_processes(width: int | None, end: str) -> None:
    assert end in shown(width)


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 200])
@pytest.mark.parametrize("tree", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, tree: bool) -> None:
    assert max(map(display_width, shown(width, tree=tree).split("\n"))) <= width


def test_json_has_no_title_and_no_width() -> None:
    (line,) = Looks(ListingFormat({1000: "ana"}.get), as_json=ListingJson({1000: "ana"}.get)).render(
        [row()], 10
    )
    assert line.startswith('{"state": "listening"')


def test_signs_are_in_a_column_of_their_own() -> None:
    title, line = Looks(ListingFormat({1000: "ana"}.get)).render_rows([row()], None, lambda _: "+")
    assert line.startswith("+  listening")
    assert title.index("STATE") == line.index("listening")


def test_colour_is_for_a_terminal_and_not_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32mlistening\x1b[0m" in shown(200)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(200)
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in shown(200)


def test_size_is_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    controller, terminal = pty.openpty()
    get_terminal_size = os.get_terminal_size
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: get_terminal_size(terminal))
    try:
        assert terminal_size() == (80, 24)  # it does not know its size
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 50, 132, 0, 0))
        assert terminal_size() == (132, 50)
    finally:
        os.close(controller)
        os.close(terminal)


def test_no_terminal_has_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> os.terminal_size:
        raise OSError

    monkeypatch.setattr(os, "get_terminal_size", refuse)
    assert terminal_size() is None


def test_a_list_that_has_everything_says_nothing() -> None:
    assert list(tell_unseen(Unseen())) == []


def test_what_rows_may_lack_is_a_warning() -> None:
    told = list(tell_unseen(Unseen(cut_short=(b"/tmp/\x1b",), is_partial=True)))
    assert [is_warning for is_warning, _ in told] == [True, True]
    assert "sock_diag" in told[0][1]
    assert told[1][1].startswith("not all below '/tmp/^[' was looked at")


def test_what_was_asked_for_and_could_not_be_seen_is_a_warning() -> None:
    told = [words for _, words in tell_unseen(Unseen(unreadable=(b"/private",), denied_pids=(7,)))]
    assert told == [
        "the directory '/private' may not be read (EACCES): what is in it is not in the list",
        "process 7 may not be looked into (EACCES): what it has open is not known",
    ]


@pytest.mark.parametrize(("uid", "end"), [(0, ""), (1000, "; root may")])
def test_sockets_without_a_visible_process_are_counted_and_explained(
    monkeypatch: pytest.MonkeyPatch, uid: int, end: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    ((is_warning, others),) = tell_unseen(Unseen(sockets=3, processes=12))
    assert not is_warning
    assert others == (
        "3 sockets have no process that can be seen ('?'): 12 processes may not be looked into" + end
    )
    ((_, hidden),) = tell_unseen(Unseen(sockets=1, hides_processes=True))
    assert hidden.endswith("/proc hides other users' processes here (hidepid)")
    ((_, nobodys),) = tell_unseen(Unseen(sockets=1))
    assert nobodys.startswith("1 socket has no process that can be seen ('?'): the kernel's own")
