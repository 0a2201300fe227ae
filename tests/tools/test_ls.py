"""The list against sockets that are really there: names, files, owners, and what cannot be seen."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from afunix.model.address import Address
from afunix.model.arrangement import Criteria
from afunix.model.listing import FileState, Row, RowState
from afunix.model.pattern import parse_pattern
from afunix.tools.ls import Listing, Request, list_sockets

ANY = Criteria()


def ls(*patterns: str, criteria: Criteria = ANY) -> Listing:
    return list_sockets(Request(tuple(map(parse_pattern, patterns)), criteria))


def row(*patterns: str, state: RowState = RowState.LISTENING) -> Row:
    (found,) = [row for row in ls(*patterns).rows if row.state is state]
    return found


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def listener(sock_dir: str, stack: ExitStack) -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    sock.bind(f"{sock_dir}/a.sock")
    sock.listen()
    return sock


def connect(stack: ExitStack, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = stack.enter_context(socket.socket(socket.AF_UNIX))
    client.connect(listener.getsockname())
    return client, stack.enter_context(listener.accept()[0])


def stale(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    return path


def test_a_connection_has_the_process_and_descriptor_of_each_end(
    sock_dir: str, listener: socket.socket, stack: ExitStack
) -> None:
    client, accepted = connect(stack, listener)
    found = row(f"{sock_dir}/a.sock", state=RowState.CONNECTED)
    assert found.server is not None and found.client is not None
    ends = [(end.owners[0].pid, end.owners[0].fd, end.owners[0].uid) for end in (found.server, found.client)]
    me = (os.getpid(), os.geteuid())
    assert ends == [(me[0], accepted.fileno(), me[1]), (me[0], client.fileno(), me[1])]


def test_a_process_that_shares_a_socket_is_an_owner_too(sock_dir: str, listener: socket.socket) -> None:
    with socket.socket(fileno=os.dup(listener.fileno())) as twin:
        found = row(f"{sock_dir}/a.sock")
        assert found.server is not None
        assert {owner.fd for owner in found.server.owners} == {listener.fileno(), twin.fileno()}


def test_a_relative_name_is_shown_whole(
    sock_dir: str, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sock_dir)
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    sock.bind("b.sock")
    sock.listen()
    assert row(f"{sock_dir}/b.sock").address == Address.pathname(f"{os.path.realpath(sock_dir)}/b.sock")


def test_a_file_that_was_removed_or_replaced_is_marked(sock_dir: str, listener: socket.socket) -> None:
    assert row(f"{sock_dir}/a.sock").file is FileState.THERE
    os.unlink(f"{sock_dir}/a.sock")
    assert row(f"{sock_dir}/a.sock").file is FileState.GONE
    stale(f"{sock_dir}/a.sock")
    assert row(f"{sock_dir}/a.sock").file is FileState.REPLACED


def test_a_renamed_file_is_found_under_its_new_name(sock_dir: str, listener: socket.socket) -> None:
    os.rename(f"{sock_dir}/a.sock", f"{sock_dir}/new.sock")
    found = row(f"{sock_dir}/new.sock")
    assert (found.address, found.file) == (Address.pathname(f"{sock_dir}/new.sock"), FileState.MOVED)


def test_a_stale_file_is_found_in_a_directory_that_is_named(sock_dir: str, listener: socket.socket) -> None:
    os.mkdir(f"{sock_dir}/deep")
    path = stale(f"{sock_dir}/deep/old.sock")
    found = row(sock_dir, state=RowState.STALE)
    assert (found.address, found.ends, found.file_owner) == (Address.pathname(path), (), os.geteuid())


def test_a_live_file_is_never_called_stale(sock_dir: str, listener: socket.socket) -> None:
    bound = socket.socket(socket.AF_UNIX)
    with bound:
        bound.bind(f"{sock_dir}/bound.sock")  # and does not listen
        states = {os.path.basename(r.address.name): r.state for r in ls(sock_dir).rows}
    assert states == {b"a.sock": RowState.LISTENING, b"bound.sock": RowState.BOUND}


def test_a_link_to_a_socket_leads_to_its_row(sock_dir: str, listener: socket.socket) -> None:
    os.symlink(f"{sock_dir}/a.sock", f"{sock_dir}/link")
    assert row(f"{sock_dir}/link").address == Address.pathname(f"{sock_dir}/a.sock")


def test_files_are_not_looked_for_when_only_connections_are_asked_for(sock_dir: str) -> None:
    stale(f"{sock_dir}/old.sock")
    assert ls(sock_dir, criteria=Criteria(connected=True)).rows == []


def test_nothing_that_matches_leaves_no_row_but_the_total(sock_dir: str, listener: socket.socket) -> None:
    found = ls(f"{sock_dir}/none")
    assert found.rows == []
    assert found.total >= 1


def test_the_file_of_a_process_that_changed_its_directory_is_found_by_itself(
    sock_dir: str, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sock_dir)
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    sock.bind("c.sock")
    sock.listen()
    monkeypatch.chdir("/")
    found = row(f"{sock_dir}/c.sock")
    assert (found.address, found.file) == (Address.pathname(f"{sock_dir}/c.sock"), FileState.MOVED)
