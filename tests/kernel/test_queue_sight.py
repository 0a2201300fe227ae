"""Who waits is seen and stays where he is: real queues, and a kernel that does not tell."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import pytest

from afunix.kernel.listener import Listener
from afunix.kernel.queue_sight import look_at
from afunix.model.address import Address
from afunix.model.restarting import Queue


@pytest.mark.parametrize("kind", ["stream", "seqpacket"])
def test_clients_are_seen_in_their_order_and_left_there(sock_dir: str, kind: str) -> None:
    number = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET}[kind]
    with ExitStack() as stack:
        listener = Listener.open(Address.parse(f"{sock_dir}/s"), kind)
        stack.callback(listener.close)
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX, number)) for _ in range(3)]
        assert look_at(listener) == Queue()
        for client in clients:
            client.connect(f"{sock_dir}/s")
        inodes = tuple(os.fstat(client.fileno()).st_ino for client in clients)
        assert look_at(listener) == look_at(listener) == Queue(3, inodes)
        clients[1].close()
        assert look_at(listener) == Queue(3, (inodes[0], 0, inodes[2]))
        listener.accept().close()
        assert look_at(listener) == Queue(2, (0, inodes[2]))


def test_the_next_datagram_is_seen_and_left_there(sock_dir: str) -> None:
    listener = Listener.open(Address.parse(f"{sock_dir}/s"), "dgram")
    os.set_blocking(listener.fd, True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        assert look_at(listener) == Queue()
        client.sendto(b"", f"{sock_dir}/s")
        client.sendto(b"two", f"{sock_dir}/s")
        one = look_at(listener)
        assert one is not None and one == look_at(listener)
        assert listener.socket.recv(9) == b""
        two = look_at(listener)
        assert two is not None and (one.length, two.length) == (1, 1) and one.first != two.first
    listener.close()


def test_a_kernel_that_does_not_tell_is_no_error(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError

    monkeypatch.setattr("afunix.kernel.queue_sight.entries_of", refuse)
    listener = Listener.open(Address.parse(f"{sock_dir}/s"))
    assert look_at(listener) is None
    listener.close()
