"""The words for what the kernel holds: of real sockets, and who it was that shut them down."""

from __future__ import annotations

import os
import socket

import pytest

from afunix.kernel import socket_table
from afunix.kernel.socket_table import entry_of
from afunix.model.socket_table import Shutdown
from afunix.tools.demo.held import NOT_TOLD, TAKES_TIME, OwnShutdowns, describe, notes


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def held(sock: socket.socket, own: Shutdown = Shutdown.NOTHING) -> list[str]:
    entry = entry_of(inode(sock))
    assert entry is not None
    return describe(entry, own, inode=lambda number: "N", name=os.path.basename)


def test_socket_without_and_with_a_name(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert held(sock) == ["inode N", "without a name"]
        sock.bind(f"{sock_dir}/a\nb")
        assert held(sock) == ["inode N", "named a^Jb"]


def test_datagrams_wait_in_the_receive_queue(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"{sock_dir}/s")
        sock.sendto(b"hello\n", f"{sock_dir}/s")
        assert held(sock) == ["inode N", "named s", "receive queue 6 bytes"]


def test_listener_that_was_shut_down_refuses_new_clients(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        sock.listen(5)
        assert held(sock) == ["accept queue 0 of 5"]
        sock.shutdown(socket.SHUT_RD)
        assert held(sock) == ["accept queue 0 of 5", "refuses new clients"]


def test_shutdown_is_told_by_who_made_it() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.shutdown(socket.SHUT_WR)
        assert held(one, Shutdown.SENDING)[2:] == ["shut down for sending"]
        assert held(other)[2:] == ["the peer sends no more"]
        other.shutdown(socket.SHUT_RD)
        assert held(other, Shutdown.RECEIVING)[2:] == ["shut down for receiving"]
        other.shutdown(socket.SHUT_WR)
        assert held(other, Shutdown.BOTH)[2:] == ["shut down both ways"]
        assert held(one, Shutdown.SENDING)[2:] == ["the peer sends no more", "shut down for sending"]


def test_peer_that_receives_no_more_is_told() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.shutdown(socket.SHUT_RD)
        assert held(other)[2:] == ["the peer receives no more"]


def test_peer_that_is_gone_has_shut_nothing_down() -> None:
    one, other = socket.socketpair()
    with one:
        other.close()
        assert held(one) == ["inode N ⇄ closed", "receive queue 0 bytes"]
        assert held(one, Shutdown.SENDING) == ["inode N ⇄ closed", "receive queue 0 bytes"]


def test_own_shutdowns_add_up() -> None:
    own = OwnShutdowns()
    own.add(1, Shutdown.SENDING)
    own.add(1, Shutdown.RECEIVING)
    assert (own.of(1), own.of(2)) == (Shutdown.BOTH, Shutdown.NOTHING)


def test_foot_says_what_has_to_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert notes(has_times=True) == (TAKES_TIME,)
    assert notes(has_times=False) == ()
    monkeypatch.setattr(socket_table, "is_forced", lambda facility: facility == "sock_diag")
    assert notes(has_times=False) == (NOT_TOLD,)
