"""Who waits in a queue at its end: counted with what they had sent, on real sockets."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from afunix.kernel.listener import Listener
from afunix.kernel.unanswered import Unanswered, turn_away
from afunix.model.address import Address


@contextmanager
def listening(sock_dir: str, kind: str = "stream") -> Iterator[Listener]:
    listener = Listener.open(Address.parse(f"{sock_dir}/s"), kind)
    os.set_blocking(listener.fd, True)  # as it is handed to a command
    try:
        yield listener
    finally:
        listener.close()


def clients_of(sock_dir: str, *sent: bytes, kind: int = socket.SOCK_STREAM) -> list[socket.socket]:
    clients = []
    for data in sent:
        client = socket.socket(socket.AF_UNIX, kind)
        client.connect(f"{sock_dir}/s")
        if data:
            client.send(data)
        clients.append(client)
    return clients


def test_clients_are_counted_with_their_bytes_and_closed(sock_dir: str) -> None:
    with listening(sock_dir) as listener:
        clients = clients_of(sock_dir, b"one", b"", b"three")
        assert turn_away(listener) == Unanswered(clients=3, sent=8)
        with pytest.raises(ConnectionResetError):
            clients[0].recv(1)
        with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
            late.connect(f"{sock_dir}/s")
    for client in clients:
        client.close()


def test_an_empty_queue_is_not_waited_for(sock_dir: str) -> None:
    with listening(sock_dir) as listener:
        assert turn_away(listener) == Unanswered()


def test_datagrams_are_counted_whole_and_empty_ones_too(sock_dir: str) -> None:
    with listening(sock_dir, "dgram") as listener:
        clients = clients_of(sock_dir, b"x" * 1000, b"y", kind=socket.SOCK_DGRAM)
        clients[0].send(b"")
        assert turn_away(listener) == Unanswered(datagrams=3, sent=1001)
    for client in clients:
        client.close()


def test_what_was_inherited_is_left_alone(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        sock.listen()
        listener = Listener(sock, Address.parse(f"{sock_dir}/s"), inherited=True)
        (client,) = clients_of(sock_dir, b"one")
        assert turn_away(listener) == Unanswered()
        with sock.accept()[0] as accepted:
            assert accepted.recv(9) == b"one"
        client.close()


def test_without_descriptors_nobody_knows_who_waits(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "")

    with listening(sock_dir) as listener:
        monkeypatch.setattr(listener, "accept", fail)
        assert turn_away(listener) == Unanswered(is_certain=False)


def test_several_queues_are_added_up() -> None:
    two = Unanswered(2, 0, 7).with_those(Unanswered(1, 3, 5, is_certain=False))
    assert two == Unanswered(3, 3, 12, is_certain=False)
