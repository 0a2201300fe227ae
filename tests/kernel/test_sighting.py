"""What is seen of each kind of file, and what the probe answers in each state of a socket."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

import pytest

from afunix.kernel.pathname import hold
from afunix.kernel.sighting import Look, abstract_name_may_exist, look_at
from afunix.model.address import Address
from afunix.model.ownership import CONNECTED, NOTHING_THERE, FileKind, Sighting

NewSocket = Callable[..., socket.socket]


def test_nothing_is_seen_where_nothing_is(sock_dir: str) -> None:
    assert _look(f"{sock_dir}/s") == Look(NOTHING_THERE, None)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_a_stream_or_seqpacket_socket_answers_alike_from_bind_to_close(
    sock_dir: str, new_socket: NewSocket, kind: int
) -> None:
    sock = new_socket(kind)
    sock.bind(f"{sock_dir}/s")
    probes = [_look(f"{sock_dir}/s").seen.probe]
    sock.listen(0)
    probes.append(_look(f"{sock_dir}/s").seen.probe)
    client = new_socket(kind)
    client.setblocking(False)
    client.connect(f"{sock_dir}/s")  # now the backlog is full
    probes.append(_look(f"{sock_dir}/s").seen.probe)
    sock.shutdown(socket.SHUT_RD)
    probes.append(_look(f"{sock_dir}/s").seen.probe)
    sock.close()
    probes.append(_look(f"{sock_dir}/s").seen.probe)
    assert probes == [errno.EPROTOTYPE] * 4 + [errno.ECONNREFUSED]


def test_a_datagram_socket_is_connected_to_and_notices_nothing(sock_dir: str, new_socket: NewSocket) -> None:
    sock = new_socket(socket.SOCK_DGRAM)
    sock.bind(f"{sock_dir}/s")
    assert _look(f"{sock_dir}/s").seen.probe == CONNECTED
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(1)


def test_an_abstract_name_is_found_in_the_text_of_the_table(new_socket: NewSocket) -> None:
    name = f"af-{os.getpid()}\0x".encode()
    assert not abstract_name_may_exist(name)
    new_socket().bind(b"\0" + name)
    assert abstract_name_may_exist(name)


def test_a_datagram_socket_with_one_peer_answers_eperm(sock_dir: str, new_socket: NewSocket) -> None:
    sock, peer = new_socket(socket.SOCK_DGRAM), new_socket(socket.SOCK_DGRAM)
    sock.bind(f"{sock_dir}/s")
    peer.bind(f"{sock_dir}/peer")
    sock.connect(f"{sock_dir}/peer")
    assert _look(f"{sock_dir}/s").seen.probe == errno.EPERM


def test_what_is_no_socket_is_not_probed(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/s")
    assert _look(f"{sock_dir}/s").seen == Sighting(FileKind.DIRECTORY, None, os.getuid())


def test_a_link_is_seen_as_a_link(sock_dir: str, new_socket: NewSocket) -> None:
    new_socket().bind(f"{sock_dir}/s")
    os.symlink("s", f"{sock_dir}/link")
    assert _look(f"{sock_dir}/link").seen.kind is FileKind.SYMLINK


def test_all_that_is_seen_is_of_one_inode_although_its_name_moves(
    sock_dir: str, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_socket().bind(f"{sock_dir}/s")
    fstat = os.fstat

    def move_away(fd: int) -> os.stat_result:
        os.rename(f"{sock_dir}/s", f"{sock_dir}/moved")
        with open(f"{sock_dir}/s", "w"):
            pass
        return fstat(fd)

    monkeypatch.setattr(os, "fstat", move_away)
    assert _look(f"{sock_dir}/s").seen == Sighting(FileKind.SOCKET, errno.EPROTOTYPE, os.getuid())


def test_the_inode_is_not_given_out_again_during_a_look(sock_dir: str, new_socket: NewSocket) -> None:
    new_socket().bind(f"{sock_dir}/s")
    place = hold(Address.pathname(f"{sock_dir}/s"))
    try:
        with look_at(place) as look:
            os.unlink(f"{sock_dir}/s")
            assert look.file is not None
            assert look.file.st_ino not in {_make_file(f"{sock_dir}/{n}") for n in range(20)}
    finally:
        place.close()


def _look(path: str) -> Look:
    place = hold(Address.pathname(path))
    try:
        with look_at(place) as look:
            return look
    finally:
        place.close()


def _make_file(path: str) -> int:
    with open(path, "w") as file:
        return os.fstat(file.fileno()).st_ino
