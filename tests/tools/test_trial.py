"""A real connect: who answers, and whether a datagram would be taken."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from afunix.model.address import Address
from afunix.tools.trial import connect_really, datagram_probe, queue_is_full


@pytest.mark.parametrize("kind", ["stream", "seqpacket", "dgram"])
def test_the_type_that_fits_is_found(sock_dir: str, kind: str) -> None:
    with socket.socket(socket.AF_UNIX, getattr(socket, f"SOCK_{kind.upper()}")) as sock:
        sock.bind(f"{sock_dir}/s")
        if kind != "dgram":
            sock.listen()
        answer = connect_really(Address.pathname(f"{sock_dir}/s"), None)
    assert (answer.errno, answer.type, answer.is_full) == (0, kind, False)
    assert answer.pid == (None if kind == "dgram" else os.getpid())


def test_the_type_that_is_wanted_is_tried_alone(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        sock.listen()
        answer = connect_really(Address.pathname(f"{sock_dir}/s"), "dgram")
    assert (answer.errno, answer.type) == (errno.EPROTOTYPE, "dgram")


def test_a_full_queue_is_seen(sock_dir: str) -> None:
    address = Address.pathname(f"{sock_dir}/s")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        server.bind(f"{sock_dir}/s")
        client.connect(f"{sock_dir}/s")
        assert queue_is_full(address) is False
        fill(client)
        assert queue_is_full(address) is True
        assert connect_really(address, None).is_full
        server.recv(16)
        assert queue_is_full(address) is False
    assert queue_is_full(address) is None


def test_a_peer_refuses_the_probe() -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
    ):
        server.bind("")
        other.bind("")
        address = Address.from_kernel(server.getsockname())
        assert datagram_probe(address) == 0
        server.connect(other.getsockname())
        assert datagram_probe(address) == errno.EPERM


def fill(client: socket.socket) -> None:
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            client.send(b"datagram")
