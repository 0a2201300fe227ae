"""What is told of a socket's inside: real sockets at every stage of their life, and a kernel that tells less."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel import socket_table
from afunix.model import events
from afunix.model.credentials import PeerCredentials
from afunix.tools.demo.inside import Looker


@pytest.fixture
def listener(sock_dir: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{sock_dir}/s")
        made.listen(5)
        yield made


def at(sock: socket.socket) -> tuple[str, ...]:
    return Looker().look(events.BytesRead(sock.fileno(), 1))


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def test_new_socket_has_no_name() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert at(sock) == (f"inode {inode(sock)}, without a name",)


def test_bound_socket_has_its_name(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/a\nb")
        assert at(sock) == (f"inode {inode(sock)}, named {sock_dir}/a^Jb",)


def test_client_waits_in_the_accept_queue(listener: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listener.getsockname())
        assert at(listener) == ("accept queue 1 of 5",)
        assert at(client) == (
            f"inode {inode(client)} ⇄ not accepted yet, receive queue 0 bytes",
            "waits in the listener's queue: accept queue 1 of 5",
        )


def test_accept_tells_of_the_listener_and_of_the_new_socket(listener: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listener.getsockname())
        with listener.accept()[0] as server:
            event = events.Accepted(server.fileno(), listener.fileno(), 1, PeerCredentials(1, 0, 0))
            assert Looker().look(event) == (
                "accept queue 0 of 5",
                f"inode {inode(server)} ⇄ {inode(client)}, receive queue 0 bytes",
            )


def test_bytes_wait_in_the_receive_queue() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.send(b"hello\n")
        ends = f"inode {inode(one)} ⇄ {inode(other)}"
        assert at(one) == (f"{ends}, receive queue 0 bytes", "in the peer's receive queue 6 bytes")
        other.send(b"x")
        assert at(one)[0] == f"{ends}, receive queue 1 byte"


def test_shutdown_and_a_peer_that_is_gone_are_told() -> None:
    one, other = socket.socketpair()
    with one:
        with other:
            one.shutdown(socket.SHUT_WR)
            looker = Looker()
            shut = looker.look(events.HalfClosed(one.fileno(), events.Direction.SENDING))
            assert shut[-1] == "shut down for sending"
            assert looker.look(events.BytesRead(other.fileno(), 0))[-1] == "the peer sends no more"
        assert at(one) == (f"inode {inode(one)} ⇄ closed, receive queue 0 bytes",)


def test_closed_descriptor_has_no_inside() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert Looker().look(events.Closed(sock.fileno())) == ()
    assert Looker().look(events.BytesRead(9999, 1)) == ()


def test_without_sock_diag_less_is_told(monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> None:
    monkeypatch.setattr(socket_table, "is_forced", lambda facility: facility == "sock_diag")
    one, other = socket.socketpair()
    with one, other:
        assert at(one) == (f"inode {inode(one)}",)
    assert at(listener) == (f"inode {inode(listener)}, named {listener.getsockname()}",)
