"""Listening on a port: each address of a name, the queue at the end, and a port that cannot be had."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from tests.peers import require
from tests.program import PATIENCE_S, environment
from tests.tcp_servers import LOOPBACK, dialled, free_port, has_ipv6

from afunix.kernel.listener import Listener
from afunix.kernel.tcp_listener import TcpListener
from afunix.model.address import Address
from afunix.model.errors import AddressError, AddressInUseError
from afunix.model.events import Bound, Closed, Created, Direction, Event, HalfClosed, Listening

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


def at(port: int, host: str = LOOPBACK) -> Address:
    return Address.parse(f"tcp:{host}:{port}")


@contextmanager
def listening(address: Address, backlog: int | None = None) -> Iterator[list[TcpListener]]:
    with ExitStack() as opened:
        listeners = TcpListener.open_all(address, backlog=backlog)
        for listener in listeners:
            opened.callback(listener.close)
        yield listeners


def wait_for_client(listener: Listener) -> None:
    poll = select.poll()
    poll.register(listener.ready_fd, select.POLLIN)
    assert poll.poll(PATIENCE_S * 1000)


def test_a_client_is_accepted_with_the_name_that_it_has() -> None:
    port = free_port()
    with listening(at(port)) as (listener,), dialled(port) as client:
        wait_for_client(listener)
        sock, name = listener.accept_named()
        with socket.socket(fileno=os.dup(sock.fileno())) as plain:
            assert name == f"tcp:{LOOPBACK}:{client.getsockname()[1]}"
            assert (plain.family, os.get_blocking(plain.fileno())) == (socket.AF_INET, False)
            assert plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.close()


def test_nobody_in_the_queue_blocks_nobody() -> None:
    with listening(at(free_port())) as (listener,), pytest.raises(BlockingIOError):
        listener.accept_named()


@needs_ipv6
@pytest.mark.parametrize("host", ["name", "*"])
def test_a_name_listens_on_each_of_its_addresses(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    if host == "name":
        names = [(socket.AF_INET6, ("::1", port)), (socket.AF_INET, (LOOPBACK, port))]
        monkeypatch.setattr("afunix.kernel.tcp_listener.addresses_of", lambda address, to_listen: names)
    with listening(at(port, host)) as listeners:
        assert len(listeners) == 2
        for reached in (LOOPBACK, "::1"):
            with dialled(port, reached):
                pass


def test_an_address_of_a_name_that_is_not_here_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    names = [(socket.AF_INET, ("192.0.2.1", port)), (socket.AF_INET, (LOOPBACK, port))]
    monkeypatch.setattr("afunix.kernel.tcp_listener.addresses_of", lambda address, to_listen: names)
    with listening(at(port, "name")) as listeners:
        assert [str(listener.address) for listener in listeners] == [f"tcp:{LOOPBACK}:{port}"]


def test_an_address_that_is_not_here_is_told() -> None:
    with pytest.raises(
        AddressError, match=r"no interface of this machine has that address \(EADDRNOTAVAIL\)"
    ):
        TcpListener.open_all(at(8080, "192.0.2.1"))


def test_a_port_in_use_is_told_by_whom_and_nothing_stays_open() -> None:
    with (
        socket.create_server((LOOPBACK, 0)) as other,
        pytest.raises(AddressInUseError, match=rf"is in use: pid {os.getpid()} \(.*\) holds it"),
    ):
        TcpListener.open_all(at(other.getsockname()[1]))


def test_a_negative_backlog_is_refused() -> None:
    with pytest.raises(AddressError, match="a backlog of -1"):
        TcpListener.open_all(at(8080), backlog=-1)


def test_who_is_in_the_queue_is_accepted_after_the_refusal_and_nobody_else() -> None:
    port = free_port()
    with listening(at(port)) as (listener,), dialled(port) as client, socket.socket() as late:
        wait_for_client(listener)
        listener.refuse_new()
        late.setblocking(False)
        late.connect_ex((LOOPBACK, port))
        sock, _ = listener.accept_named()
        sock.send(b"hello")
        sock.close()
        assert client.recv(100) == b"hello"
        with pytest.raises(BlockingIOError):
            listener.accept_named()


def test_the_port_is_given_up_once_the_queue_is_empty() -> None:
    port = free_port()
    with listening(at(port)) as (listener,), dialled(port):
        wait_for_client(listener)
        listener.refuse_new()
        assert listener.unlink() is None
        with pytest.raises(AddressInUseError):
            TcpListener.open_all(at(port))
        sock, _ = listener.accept_named()
        listener.unlink()
        with listening(at(port)):
            sock.close()


def test_every_call_is_told() -> None:
    told: list[Event] = []
    port = free_port()
    (listener,) = TcpListener.open_all(at(port), backlog=5, observer=told.append)
    fd = listener.fd
    listener.refuse_new()
    listener.unlink()
    listener.close()
    listener.close()
    assert told == [
        Created(fd, "SOCK_STREAM", "AF_INET"),
        Bound(fd, at(port)),
        Listening(fd, at(port), 5),
        HalfClosed(fd, Direction.RECEIVING),
        Closed(fd),
    ]


def test_no_descriptors_can_come_from_there() -> None:
    with listening(at(free_port())) as (listener,):
        listener.let_descriptors_in()
        assert (listener.refuses_fds, listener.is_ours) == (True, True)


_BIND = """
import encodings.idna, os
from afunix.kernel.listener import Listener
from afunix.kernel.tcp_listener import TcpListener
from afunix.model.address import Address
os.setgroups([])
os.setresuid(65534, 65534, 65534)
try:
    TcpListener.open_all(Address.parse("tcp:0.0.0.0:80"))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root makes a network in which port 80 is privileged, and leaves"
)
def test_a_privileged_port_is_told_to_an_ordinary_user() -> None:
    got = subprocess.run(
        [require("unshare"), "-n", sys.executable, "-c", _BIND],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environment(),
    )
    if "unshare failed" in got.stderr:
        pytest.skip("no network namespace can be had here")
    assert got.stdout == (
        "DeniedError 'tcp:0.0.0.0:80' cannot be listened on: port 80 is below 1024, which takes"
        " CAP_NET_BIND_SERVICE (EACCES)\n"
    ), got.stderr


def test_inherited_one_is_only_used() -> None:
    with socket.create_server((LOOPBACK, 0)) as sock:
        port = sock.getsockname()[1]
        sock.setblocking(False)
        events: list[Event] = []
        taken = sock.dup()
        taken.setblocking(False)
        listener = TcpListener.take(at(port), taken, observer=events.append)
        with dialled(port):
            wait_for_client(listener)
            client, _ = listener.accept_named()
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            client.close()
        assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        listener.refuse_new()
        assert listener.unlink() is None
        with dialled(port):
            listener.accept_named()[0].close()
        listener.close()
        with dialled(port):
            sock.accept()[0].close()
    assert events == [Listening(events[0].fd, at(port), 0, inherited=True), Closed(events[0].fd)]


def test_inherited_one_that_blocks_is_never_waited_for() -> None:
    with socket.create_server((LOOPBACK, 0)) as sock:
        port = sock.getsockname()[1]
        listener = TcpListener.take(at(port), sock.dup())
        with pytest.raises(BlockingIOError):
            listener.accept_named()
        with dialled(port):
            wait_for_client(listener)
            client = listener.accept()
            assert not os.get_blocking(client.fileno())
            client.close()
        listener.close()
        assert os.get_blocking(sock.fileno())
