"""What a step has changed in the kernel's table: a line for each socket that stands otherwise, none for the rest."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from afunix.kernel import socket_table
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
    return [line.partition(": ")[2] for line in watch.look(sock.fileno() for sock in socks)]


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
        assert [line.rpartition(", ")[2] for line in looked(watch, one, other)] == [
            "shut down for sending",
            "shut down for receiving",
        ]


def test_a_peer_that_closed_is_not_one_that_waits(watch: Watch) -> None:
    one, other = socket.socketpair()
    with one:
        other.close()
        assert looked(watch, one) == ["inode 1001 ⇄ closed, receive queue 0 bytes, shut down both ways"]


def test_sockets_of_the_internet_have_no_line(watch: Watch) -> None:
    with socket.socket(socket.AF_INET) as sock:
        assert looked(watch, sock) == []


def test_without_sock_diag_less_is_told(
    watch: Watch, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_table, "is_forced", lambda _: True)
    assert looked(watch, listener) == ["inode 1001, named s"]
