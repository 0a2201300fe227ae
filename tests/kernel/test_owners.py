"""Which process holds a path or an abstract name, as far as it can be seen."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from afunix.kernel.names import comm_of
from afunix.kernel.owners import Holder, holders_of_abstract, holders_of_path
from afunix.kernel.pathname import kernel_name
from afunix.model.address import Address

NewSocket = Callable[..., socket.socket]


def me() -> Holder:
    return Holder(os.getpid(), comm_of(os.getpid()), os.geteuid())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_the_process_that_bound_a_path_is_found(sock_dir: str, new_socket: NewSocket, kind: int) -> None:
    new_socket(kind).bind(f"{sock_dir}/s")
    assert holders_of_path(f"{sock_dir}/s") == [me()]


def test_every_process_that_shares_a_listener_is_found(sock_dir: str, new_socket: NewSocket) -> None:
    new_socket().bind(f"{sock_dir}/s")
    with _child() as pid:
        assert [holder.pid for holder in holders_of_path(f"{sock_dir}/s")] == sorted([pid, os.getpid()])


def test_a_process_with_only_an_accepted_connection_does_not_hold_the_path(
    sock_dir: str, new_socket: NewSocket
) -> None:
    listener, client = new_socket(), new_socket()
    listener.bind(f"{sock_dir}/s")
    listener.listen()
    client.connect(f"{sock_dir}/s")
    connection, _ = listener.accept()
    with connection:
        listener.close()
        assert holders_of_path(f"{sock_dir}/s") == []


def test_a_datagram_server_with_one_peer_holds_its_path(sock_dir: str, new_socket: NewSocket) -> None:
    sock, peer = new_socket(socket.SOCK_DGRAM), new_socket(socket.SOCK_DGRAM)
    sock.bind(f"{sock_dir}/s")
    peer.bind(f"{sock_dir}/peer")
    sock.connect(f"{sock_dir}/peer")
    assert holders_of_path(f"{sock_dir}/s") == [me()]


def test_a_relative_name_is_looked_up_where_its_process_stands(
    sock_dir: str, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sock_dir)
    new_socket().bind("s")
    assert holders_of_path(f"{sock_dir}/s") == [me()]


def test_a_socket_of_that_name_in_another_directory_is_another_one(
    sock_dir: str, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        os.mkdir(f"{sock_dir}/{name}")
    monkeypatch.chdir(f"{sock_dir}/a")
    new_socket().bind("s")
    with open(f"{sock_dir}/b/s", "w"):
        pass
    assert holders_of_path(f"{sock_dir}/b/s") == []


def test_a_long_path_that_was_bound_through_a_descriptor_is_found(
    sock_dir: str, new_socket: NewSocket
) -> None:
    os.mkdir(f"{sock_dir}/{'d' * 100}")
    path = f"{sock_dir}/{'d' * 100}/s"
    with kernel_name(Address.pathname(path)) as name:
        new_socket().bind(name)
        assert holders_of_path(path) == [me()]


def test_a_path_that_nobody_holds_has_no_holder(stale_path: str) -> None:
    assert holders_of_path(stale_path) == []
    assert holders_of_path(f"{stale_path}/nowhere") == []


def test_the_processes_of_others_are_not_visible_to_an_ordinary_user(
    sock_dir: str, new_socket: NewSocket, as_ordinary_user: Callable[..., Any]
) -> None:
    if os.getuid() != 0:
        pytest.skip("needs a second user")
    new_socket().bind(f"{sock_dir}/s")
    holders = as_ordinary_user(lambda: [h.pid for h in holders_of_path(f"{sock_dir}/s") if h.uid == 0])
    assert holders == []


def test_the_effective_uid_of_a_holder_is_told(sock_dir: str) -> None:
    if os.getuid() != 0:
        pytest.skip("needs a second user")
    os.chmod(sock_dir, 0o777)
    with _child(path=f"{sock_dir}/s", uid=1234) as pid:
        assert [(h.pid, h.uid) for h in holders_of_path(f"{sock_dir}/s")] == [(pid, 1234)]


@pytest.mark.parametrize("name", [b"plain", b"with\0nul"])
def test_the_holder_of_an_abstract_name_is_found(new_socket: NewSocket, name: bytes) -> None:
    name = b"afunix-test-%d-%s" % (os.getpid(), name)
    new_socket().bind(b"\0" + name)
    assert holders_of_abstract(name) == [me()]
    assert holders_of_abstract(name + b"x") == []


def test_a_name_with_a_newline_makes_no_other_socket_ours(sock_dir: str, new_socket: NewSocket) -> None:
    forged = f"x\n0000000000000000: 00000002 00000000 00010000 0001 01 1 {sock_dir}/s"
    new_socket().bind(b"\0" + forged.encode())
    with open(f"{sock_dir}/s", "w"):
        pass
    assert holders_of_path(f"{sock_dir}/s") == []


@contextmanager
def _child(path: str | None = None, uid: int | None = None) -> Iterator[int]:
    """A process that waits for its end, and serves `path` as `uid` if these are given."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        if uid is not None:
            os.setuid(uid)
        sock = socket.socket(socket.AF_UNIX)
        if path is not None:
            sock.bind(path)
        os.write(writer, b"!")
        while True:
            signal.pause()
    os.read(reader, 1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)
