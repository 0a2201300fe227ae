"""What a step has changed in the kernel's table: a line for each socket that stands otherwise, none for the rest."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel import socket_table
from afunix.model.socket_table import Shutdown
from afunix.tools.demo.changes import Watch
from afunix.tools.demo.shown import Names


@pytest.fixture
def listener(sock_dir: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        sock.listen(4)
        yield sock


@pytest.fixture
def watch(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setattr(socket_table, "is_forced", lambda _: False)
    names = Names(sock_dir, reproducible=True)
    names.opened(-1)  # 3 is taken
    return Watch(names)


def looked(watch: Watch, *socks: socket.socket) -> list[str]:
    names = {os.fstat(sock.fileno()).st_ino: "3" for sock in socks}
    return [line.partition(": ")[2] for line in watch.look(names)]


def test_a_socket_is_told_once_until_it_changes(watch: Watch, sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert looked(watch, sock) == ["inode 1001, without a name"]
        assert looked(watch, sock) == []
        sock.bind(f"{sock_dir}/t")
        assert looked(watch, sock) == ["inode 1001, named t"]


def test_a_client_is_seen_in_the_accept_queue(watch: Watch, listener: socket.socket) -> None:
    assert looked(watch, listener) == ["accept queue 0 of 4"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listener.getsockname())
        assert looked(watch, listener, client) == [
            "accept queue 1 of 4",
            "inode 1001 ⇄ not accepted yet, receive queue 0 bytes",
        ]


def test_bytes_are_seen_in_the_receive_queue(watch: Watch) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.send(b"hello\n")
        assert looked(watch, one, other) == [
            "inode 1001 ⇄ 1002, receive queue 0 bytes",
            "inode 1002 ⇄ 1001, receive queue 6 bytes",
        ]
        other.recv(5)
        assert looked(watch, one, other) == ["inode 1002 ⇄ 1001, receive queue 1 byte"]


def test_a_shutdown_is_seen_at_both_ends(watch: Watch) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.shutdown(socket.SHUT_WR)
        watch.own.add(os.fstat(one.fileno()).st_ino, Shutdown.SENDING)
        assert [line.rpartition(", ")[2] for line in looked(watch, one, other)] == [
            "shut down for sending",
            "the peer sends no more",
        ]


def test_a_peer_that_closed_is_not_one_that_waits(watch: Watch) -> None:
    one, other = socket.socketpair()
    with one:
        other.close()
        assert looked(watch, one) == ["inode 1001 ⇄ closed, receive queue 0 bytes"]


def test_sockets_of_the_internet_have_no_line(watch: Watch) -> None:
    with socket.socket(socket.AF_INET) as sock:
        assert looked(watch, sock) == []


def test_without_sock_diag_less_is_told(
    watch: Watch, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_table, "is_forced", lambda _: True)
    assert looked(watch, listener) == ["inode 1001, named s"]


def test_each_line_begins_with_what_the_socket_is_called(watch: Watch, listener: socket.socket) -> None:
    inode = os.fstat(listener.fileno()).st_ino
    assert watch.look({inode: "3 of server"}) == ("3 of server: accept queue 0 of 4",)


def test_while_a_call_waits_nothing_is_asked_that_takes_long(
    watch: Watch, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode = os.fstat(listener.fileno()).st_ino
    monkeypatch.setattr(socket_table, "is_forced", lambda _: True)
    assert watch.look({inode: "3"}, while_waiting=True) == ()
    monkeypatch.setattr(socket_table, "is_forced", lambda _: False)
    assert watch.look({inode: "3"}, while_waiting=True) == ("3: accept queue 0 of 4",)
