"""TCP sockets: their options, whether the peer may send, and a close that resets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.tcp_servers import LOOPBACK, free_port

from afunix.kernel import tcp


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server((LOOPBACK, 0)))
        client = opened.enter_context(socket.create_connection(listener.getsockname()))
        server, _ = listener.accept()
        opened.enter_context(server)
        yield client, server


def test_a_new_socket_waits_for_nothing_and_delays_nothing() -> None:
    with tcp.open_socket(socket.AF_INET) as sock:
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE)


def test_a_tcp_socket_is_told_from_a_unix_one(pair: tuple[socket.socket, socket.socket]) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert not tcp.is_tcp(sock)
    assert tcp.is_tcp(pair[0])


def test_a_peer_may_send_until_it_has_ended_its_direction(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    server.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    assert not tcp.peer_may_send(client)
    assert tcp.peer_may_send(server)
    client.close()
    assert server.recv(1) == b""
    assert not tcp.peer_may_send(server)


def test_a_broken_connection_is_dead(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    assert not tcp.is_dead(server)
    tcp.reset_on_close(client)
    client.close()
    assert tcp.is_dead(server)


def test_a_close_can_be_a_reset(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    tcp.reset_on_close(client)
    client.close()
    with pytest.raises(ConnectionResetError):
        server.recv(1)


def test_a_socket_that_met_itself_is_known(pair: tuple[socket.socket, socket.socket]) -> None:
    where = LOOPBACK, free_port()
    with socket.socket() as sock:
        sock.bind(where)
        sock.connect(where)
        assert tcp.is_its_own_peer(sock)
    with socket.socket() as sock:
        assert not tcp.is_its_own_peer(sock)
    assert not tcp.is_its_own_peer(pair[0])


def test_names_of_the_kernel_become_addresses() -> None:
    assert str(tcp.address_of(("127.0.0.1", 80))) == "tcp:127.0.0.1:80"
    assert str(tcp.address_of(("::1", 80, 0, 0))) == "tcp:[::1]:80"
