"""Credentials and groups of a peer, and whether it may send descriptors."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from afunix.kernel import fallbacks, peercred
from afunix.model.credentials import PeerCredentials

InChild = Callable[..., Any]
NewSocket = Callable[..., socket.socket]
Pair = tuple[socket.socket, socket.socket]

ME = PeerCredentials(os.getpid(), os.geteuid(), os.getegid())
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.fixture
def kernel_has_passrights(pair: Pair) -> None:
    try:
        pair[0].getsockopt(socket.SOL_SOCKET, peercred.SO_PASSRIGHTS)
    except OSError:
        pytest.skip("SO_PASSRIGHTS needs Linux 6.16")


def test_the_peer_is_the_process_that_connected(pair: Pair) -> None:
    assert peercred.peer_credentials(pair[0]) == ME


@pytest.mark.parametrize("default_timeout", [None, 5.0])
def test_a_descriptor_will_do_and_stays_as_it_was(pair: Pair, default_timeout: float | None) -> None:
    fd = pair[0].fileno()
    flags = fcntl.fcntl(fd, fcntl.F_GETFL), fcntl.fcntl(fd, fcntl.F_GETFD)
    socket.setdefaulttimeout(default_timeout)
    try:
        assert peercred.peer_credentials(fd) == ME
        assert peercred.peer_groups(fd) == tuple(os.getgroups())
        peercred.refuse_descriptors(fd)
    finally:
        socket.setdefaulttimeout(None)
    assert (fcntl.fcntl(fd, fcntl.F_GETFL), fcntl.fcntl(fd, fcntl.F_GETFD)) == flags
    pair[1].sendall(b"still open")
    assert pair[0].recv(20) == b"still open"


def test_a_socket_without_a_peer_has_credentials_that_are_not_known(new_socket: NewSocket) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        credentials = peercred.peer_credentials(new_socket(kind))
        assert credentials == PeerCredentials(None, 0xFFFFFFFF, 0xFFFFFFFF)
        assert not credentials.is_known


def test_what_is_no_socket_is_an_error() -> None:
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="non-socket") as caught:
        peercred.peer_credentials(reader)
    assert caught.value.errno == errno.ENOTSOCK
    os.close(reader)
    os.close(writer)


@needs_root
def test_a_uid_beyond_two_billion_is_not_negative(sock_dir: str, in_child: InChild) -> None:
    def connect_as_a_big_uid() -> PeerCredentials:
        os.setresgid(4_000_000_000, 4_000_000_000, 0)
        os.setresuid(3_000_000_000, 3_000_000_000, 0)
        one, other = socket.socketpair()
        with one, other:
            return peercred.peer_credentials(one)

    credentials = in_child(connect_as_a_big_uid)
    assert (credentials.uid, credentials.gid) == (3_000_000_000, 4_000_000_000)


def test_a_pid_that_has_no_number_here_is_none() -> None:
    raw = struct.pack("=iII", 0, 1000, 1000)
    assert peercred.unpack_credentials(raw) == PeerCredentials(None, 1000, 1000)


def test_the_groups_of_the_peer_are_ours(pair: Pair) -> None:
    assert sorted(peercred.peer_groups(pair[0])) == sorted(os.getgroups())


@needs_root
@pytest.mark.parametrize("count", [0, 1, 256, 257, 400, 5000])
def test_any_number_of_groups_is_told(in_child: InChild, count: int) -> None:
    def pair_with_groups() -> tuple[int, ...]:
        os.setgroups(range(100_000, 100_000 + count))
        one, other = socket.socketpair()
        with one, other:
            return peercred.peer_groups(one)

    assert in_child(pair_with_groups) == tuple(range(100_000, 100_000 + count))


def test_a_datagram_socket_knows_no_groups() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as alone:
        assert peercred.peer_groups(alone) == ()


def test_an_error_of_the_long_way_is_an_error() -> None:
    with pytest.raises(OSError) as caught:
        peercred._getsockopt_of_any_length(-1, peercred.SO_PEERGROUPS)
    assert caught.value.errno == errno.EBADF


@pytest.mark.usefixtures("kernel_has_passrights")
def test_a_descriptor_that_is_refused_is_an_error_for_its_sender(pair: Pair) -> None:
    assert peercred.refuse_descriptors(pair[0]) is True
    with pytest.raises(PermissionError):
        _send_descriptor(pair[1])
    pair[1].sendall(b"bytes pass")
    assert pair[0].recv(20) == b"bytes pass"


@pytest.mark.usefixtures("kernel_has_passrights")
def test_a_connection_refuses_descriptors_as_its_listener_does(sock_dir: str, new_socket: NewSocket) -> None:
    listener, client = new_socket(), new_socket()
    peercred.refuse_descriptors(listener)
    listener.bind(f"{sock_dir}/s")
    listener.listen()
    client.connect(f"{sock_dir}/s")
    connection, _ = listener.accept()
    with connection, pytest.raises(PermissionError):
        _send_descriptor(client)


@pytest.mark.usefixtures("kernel_has_passrights")
def test_the_fallback_can_be_forced(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fallbacks.VARIABLE, "passrights")
    fallbacks._forced.cache_clear()
    try:
        assert peercred.refuse_descriptors(pair[0]) is False
        assert peercred.refuse_descriptors(pair[0].fileno()) is False
    finally:
        fallbacks._forced.cache_clear()
    _send_descriptor(pair[1])


def test_a_kernel_without_the_option_says_so(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peercred, "SO_PASSRIGHTS", 30_000)
    assert peercred.refuse_descriptors(pair[0]) is False


def test_another_error_is_not_taken_for_an_old_kernel() -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.close()
    with pytest.raises(OSError) as caught:
        peercred.refuse_descriptors(sock)
    assert caught.value.errno == errno.EBADF


def test_the_sender_of_a_datagram_is_read_from_its_ancillary_data() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.setsockopt(socket.SOL_SOCKET, peercred.SO_PASSCRED, 1)
        other.send(b"hello")
        _, ancillary, _, _ = one.recvmsg(10, socket.CMSG_SPACE(12))
    assert peercred.credentials_from(ancillary) == ME


@pytest.mark.parametrize(
    "ancillary",
    [
        [],
        [(socket.SOL_SOCKET, socket.SCM_RIGHTS, bytes(12))],
        [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, bytes(11))],
        [(socket.IPPROTO_IP, socket.SCM_CREDENTIALS, bytes(12))],
    ],
)
def test_without_whole_credentials_the_sender_is_not_known(ancillary: list[tuple[int, int, bytes]]) -> None:
    assert peercred.credentials_from(ancillary) is None


def test_credentials_are_found_beside_other_control_messages() -> None:
    ancillary = [
        (socket.SOL_SOCKET, socket.SCM_RIGHTS, bytes(4)),
        (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("=iII", 7, 3_000_000_000, 8)),
    ]
    assert peercred.credentials_from(ancillary) == PeerCredentials(7, 3_000_000_000, 8)


def _send_descriptor(sock: socket.socket) -> None:
    rights = array.array("i", [sock.fileno()])
    sock.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def _socket_to_a_child() -> tuple[socket.socket, socket.socket, int]:
    """A socket whose peer is a child that ends when ours at its other end is closed; by then it is a zombie."""
    here, there = socket.socketpair()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")
    listener.listen()
    pid = os.fork()
    if pid == 0:
        here.close()
        client = socket.socket(socket.AF_UNIX)
        client.connect(listener.getsockname())
        there.recv(1)
        os._exit(0)
    there.close()
    connection, _ = listener.accept()
    listener.close()
    return connection, here, pid


@pytest.mark.parametrize("forced", ["", "peerpidfd"])
def test_the_peers_process_can_be_waited_for(monkeypatch: pytest.MonkeyPatch, forced: str) -> None:
    monkeypatch.setenv(fallbacks.VARIABLE, forced)
    fallbacks._forced.cache_clear()
    connection, here, pid = _socket_to_a_child()
    try:
        with connection:
            assert peercred.peer_credentials(connection).pid == pid
            pidfd = peercred.open_peer_pidfd(connection)
            assert not os.get_inheritable(pidfd)
            assert select.select([pidfd], [], [], 0)[0] == []
            here.close()
            assert select.select([pidfd], [], [], 30)[0] == [pidfd]
            os.close(pidfd)
            assert peercred.peer_credentials(connection).pid == pid
    finally:
        fallbacks._forced.cache_clear()
        here.close()
        os.waitpid(pid, 0)


def test_a_peer_that_was_reaped_is_said_to_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fallbacks.VARIABLE, "peerpidfd")
    fallbacks._forced.cache_clear()
    connection, here, pid = _socket_to_a_child()
    try:
        with connection:
            here.close()
            os.waitpid(pid, 0)
            with pytest.raises(ProcessLookupError):
                peercred.open_peer_pidfd(connection)
    finally:
        fallbacks._forced.cache_clear()


def test_the_label_is_a_word_or_none(pair: Pair) -> None:
    label = peercred.peer_label(pair[0])
    assert label is None or (label and "\0" not in label)


def test_a_socket_can_be_told_to_bring_nothing_beside_the_bytes(pair: Pair) -> None:
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    peercred.ask_for_nothing_beside(pair[0])
    pair[1].send(b"x")
    assert pair[0].recvmsg(10, 1000)[1] == []


def test_a_socket_that_is_not_a_unix_socket_brings_nothing_anyway() -> None:
    with socket.socket() as tcp:
        peercred.ask_for_nothing_beside(tcp)


def test_whether_the_kernel_can_refuse_descriptors_is_what_it_does() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert peercred.can_refuse_descriptors() is peercred.refuse_descriptors(sock)


def test_what_was_sent_before_anybody_asked_is_nobodys() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.send(b"early")
        other.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        peer = peercred.credentials_from(other.recvmsg(9, 99)[1])
    assert peer is not None and not peer.is_known
