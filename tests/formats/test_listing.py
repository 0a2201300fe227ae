"""What a row of `afunix ls` looks like, that no name can look like something else."""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.listed import (
    ACCEPTED,
    ADDRESSES,
    APP,
    CLIENT,
    CONNECTION,
    LISTENER,
    NAMES,
    PATH,
    UNNAMED,
    USERS,
)

from afunix.formats.listing import (
    CAME,
    COLUMNS,
    TREE_COLUMNS,
    Detail,
    ListingFormat,
    format_size,
    show_address,
    show_name,
)
from afunix.model.address import Address, AddressKind
from afunix.model.arrangement import group
from afunix.model.listing import FileState, Row, RowState
from afunix.model.socket_table import Owner


def cells(row: Row, detail: Detail = Detail.SOME) -> dict[str, str]:
    line = ListingFormat(USERS.get, detail).line(row)
    return dict(zip((column.title for column in COLUMNS), line.cells, strict=True))


def at_server(*owners: Owner, detail: Detail = Detail.SOME) -> str:
    return cells(LISTENER._replace(server=APP._replace(owners=owners)), detail)["SERVER"]


def test_a_listener_says_who_listens_and_how_many_wait() -> None:
    assert [*cells(LISTENER).values()] == [
        "listening",
        "stream",
        "/run/app.sock",
        "ana app[412]:5",
        "",
        "1/4096",
    ]


def test_a_connection_has_both_ends_and_the_bytes_that_wait_at_each() -> None:
    shown = cells(CONNECTION)
    assert (shown["SERVER"], shown["CLIENT"]) == ("ana app[412]:9", "bob nc[500]:3")
    assert shown["QUEUE"] == "→12K ←3"


def test_nothing_waits_is_a_nought_and_not_known_a_question_mark() -> None:
    def queue(to_server: int | None, to_client: int | None) -> str:
        server = ACCEPTED._replace(entry=ACCEPTED.entry._replace(unread=to_server))
        client = CLIENT._replace(entry=CLIENT.entry._replace(unread=to_client))
        return cells(CONNECTION._replace(server=server, client=client))["QUEUE"]

    assert (queue(0, 0), queue(None, None), queue(None, 0), queue(0, 5)) == ("0", "?", "?", "←5")


def test_an_end_without_a_process_that_may_be_seen_is_its_creators() -> None:
    assert at_server() == "ana ?"
    stranger = APP._replace(owners=(), entry=APP.entry._replace(uid=4711))
    assert cells(LISTENER._replace(server=stranger))["SERVER"] == "uid:4711 ?"


def test_what_is_not_known_of_a_process_is_a_question_mark() -> None:
    assert at_server(Owner(412, 5)) == "? ?[412]:5"


def test_processes_of_one_name_with_the_same_descriptor_stand_together() -> None:
    assert at_server(Owner(1, 5, "app", 1000), Owner(2, 5, "app", 1000)) == "ana app[1,2]:5"
    assert at_server(Owner(1, 5, "app", 1000), Owner(1, 6, "app", 1000)) == "ana app[1]:5,6"
    assert at_server(Owner(1, 5, "app", 1000), Owner(2, 7, "sh", 1000)) == "ana app[1]:5, sh[2]:7"
    assert at_server(Owner(1, 5, "app", 0), Owner(2, 5, "app", 1000)) == "root app[1]:5, ana app[2]:5"


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        (Detail.ALL, "ana app[1,2,3,4,5,6]:5"),
        (Detail.SOME, "ana app[1,2,3,4]:5 +2"),
        (Detail.ONE, "ana app[1]:5 +5"),
        (Detail.TERSE, "app[1]:5 +5"),
    ],
)
def test_many_processes_are_counted(detail: Detail, shown: str) -> None:
    assert at_server(*(Owner(pid, 5, "app", 1000) for pid in range(1, 7)), detail=detail) == shown


def test_an_end_that_is_gone_is_said_to_be() -> None:
    assert cells(Row(RowState.HUNG_UP, "stream", PATH, ACCEPTED))["CLIENT"] == "(closed)"
    assert cells(Row(RowState.CONNECTED, "stream", PATH, ACCEPTED))["CLIENT"] == "?"


def test_a_file_without_a_socket_names_its_owner() -> None:
    row = Row(RowState.STALE, None, PATH, file_owner=1001)
    assert [*cells(row).values()] == ["stale", "", "/run/app.sock", "file of bob", "", ""]


def test_a_file_that_was_removed_or_replaced_is_marked() -> None:
    marks = {state: cells(LISTENER._replace(file=state))["ADDRESS"] for state in FileState}
    assert marks[FileState.THERE] == "/run/app.sock"
    assert marks[FileState.GONE] == "/run/app.sock (removed)"
    assert marks[FileState.REPLACED] == "/run/app.sock (replaced)"


def test_a_row_that_came_has_its_sign_and_colour_in_every_cell() -> None:
    line = ListingFormat(USERS.get).line(CONNECTION, CAME)
    assert line.cells[0] == "+"
    assert {*line.styles} == {"came"} and len(line.styles) == len(line.cells)


def test_a_backlog_where_somebody_waits_stands_out() -> None:
    assert ListingFormat(USERS.get).line(LISTENER).styles[-1] == "waits"


# -- the tree


def test_clients_stand_under_their_server() -> None:
    other = CONNECTION._replace(client=CLIENT._replace(owners=(Owner(501, 4, "nc", 1001),)))
    lines = ListingFormat(USERS.get).tree(group([LISTENER, CONNECTION, other]))
    assert [line.cells[0] for line in lines] == ["/run/app.sock", "├─ bob nc[500]:3", "└─ bob nc[501]:4"]
    assert {len(line.cells) for line in lines} == {len(TREE_COLUMNS)}


def test_a_connection_without_its_server_has_both_ends_in_its_own_line() -> None:
    (line,) = ListingFormat(USERS.get).tree(group([CONNECTION]))
    assert line.cells == ("/run/app.sock ⇄ bob nc[500]:3", "connected", "stream", "ana app[412]:9", "→12K ←3")


def test_signs_stand_in_front_of_the_branches() -> None:
    lines = ListingFormat(USERS.get).tree(
        group([LISTENER, CONNECTION]), lambda row: "~" if row is CONNECTION else " "
    )
    assert [line.cells[:2] for line in lines] == [(" ", "/run/app.sock"), ("~", "└─ bob nc[500]:3")]


# -- names that would like to be something else


@given(ADDRESSES)
def test_an_address_is_one_piece_of_one_line(address: Address) -> None:
    shown = show_address(address)
    assert shown.isprintable() or "\u200e" in shown or not shown.isascii()
    assert not {*"\n\r\t\x1b\x9b\u2028\u202e\u2066"} & {*shown}
    if address.kind is not AddressKind.UNNAMED:
        assert " " not in shown or (shown[0], shown.removesuffix("\u200e")[-1]) == ("'", "'")


@given(NAMES)
def test_a_process_name_cannot_end_itself(name: str) -> None:
    shown = show_name(name).removesuffix("\u200e")
    assert not {*"\n\r\t\x1b\x9b\u2028\u202e\u2066"} & {*shown}
    if {*" [],:"} & {*shown}:
        assert (shown[0], shown[-1]) == ("'", "'")
        assert "'" not in shown[1:-1].replace("\\'", "")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("nginx", "nginx"),
        ("tmux: server", "'tmux: server'"),
        ("x[1]:3 root", "'x[1]:3 root'"),
        ("it's [1]", "'it\\'s [1]'"),
        ("├─", "'├─'"),
        ("", "''"),
        ("a\x1b[2J", "'a^[[2J'"),
        ("\udcff", "\\xff"),
        ("שלום", "שלום\u200e"),
    ],
)
def test_a_process_name_is_quoted_where_it_could_be_more_than_a_name(name: str, shown: str) -> None:
    assert show_name(name) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (Address.pathname("@x"), "./@x"),
        (Address.abstract("x"), "@x"),
        (Address.abstract("a\0b"), "unix-abstract:a%00b"),
        (Address.pathname("/a b"), "'/a b'"),
        (Address.pathname("/x (removed)"), "'/x (removed)'"),
        (Address.pathname("(unnamed)"), "'(unnamed)'"),
        (Address.pathname(b"/\xff\n"), "/\\xff^J"),
        (UNNAMED, "(unnamed)"),
    ],
)
def test_an_address_is_shown_as_it_may_be_written_or_quoted(address: Address, shown: str) -> None:
    assert show_address(address) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (999, "999"), (1000, "1.0K"), (1536, "1.5K"), (12_345, "12K"), (1 << 20, "1.0M"), (10**6, "977K"),
     (3 << 30, "3.0G"), ((1 << 32) - 1, "4.0G")],
)  # fmt: skip
def test_a_size_has_two_or_three_digits(count: int, shown: str) -> None:
    assert format_size(count) == shown
