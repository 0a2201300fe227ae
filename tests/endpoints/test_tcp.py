"""Connections to a TCP port: address by address, waited for, refused, given up."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator

import pytest
from tests.tcp_servers import LOOPBACK, dialled, free_port, has_ipv6, reset

from afunix.endpoints import tcp as endpoint_tcp
from afunix.endpoints.tcp import TcpEndpoint
from afunix.kernel import tcp as kernel_tcp
from afunix.kernel.channel import Channel
from afunix.kernel.host_names import SocketName
from afunix.model.address import Address
from afunix.model.errors import AfunixError, NobodyListensError, TimedOutError
from afunix.model.events import CallFailed, Closed, Connected, Created, Event
from afunix.model.lifecycle import Call

NAMED = Address.parse("tcp:name:80")


@pytest.fixture
def near() -> Iterator[Channel]:
    one, other = socket.socketpair()
    channel = Channel(one, 7)
    with other:
        yield channel
    channel.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((LOOPBACK, 0)) as sock:
        yield sock


def at(port: int) -> Address:
    return Address.parse(f"tcp:{LOOPBACK}:{port}")


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def named(monkeypatch: pytest.MonkeyPatch, *names: SocketName) -> None:
    monkeypatch.setattr("afunix.endpoints.looking_up.addresses_of", lambda address: list(names))


def full(listener: socket.socket) -> Iterator[socket.socket]:
    """Clients that fill a backlog of 0, so that the next one's handshake is not answered."""
    for _ in range(2):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        yield sock


def test_a_connection_is_the_clients_number_and_waits_for_nothing(
    listener: socket.socket, near: Channel
) -> None:
    endpoint = TcpEndpoint(at(port_of(listener)))
    assert endpoint.connect_now(near) is None
    far = asyncio.run(endpoint.connect(near))
    assert (far.connection, os.get_blocking(far.fd), endpoint.refuses_fds) == (7, False, True)
    assert far.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not far.peer.is_known
    far.close()
    endpoint.close()


def test_nobody_there_is_told_and_nothing_stays_open(near: Channel) -> None:
    with pytest.raises(NobodyListensError, match=r"nobody listens on .* \(ECONNREFUSED\)"):
        asyncio.run(TcpEndpoint(at(free_port())).connect(near))


def test_the_next_address_is_tried_when_the_first_refuses(
    listener: socket.socket, near: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = (socket.AF_INET, (LOOPBACK, free_port()))
    named(monkeypatch, refusing, (socket.AF_INET, listener.getsockname()))
    far = asyncio.run(TcpEndpoint(NAMED).connect(near))
    far.close()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
def test_of_a_name_nobody_listens_at_each_address_is_told(
    near: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    named(monkeypatch, (socket.AF_INET6, ("::1", port)), (socket.AF_INET, (LOOPBACK, port)))
    with pytest.raises(NobodyListensError, match=r"which is ::1 and 127\.0\.0\.1 \(ECONNREFUSED\)"):
        asyncio.run(TcpEndpoint(NAMED).connect(near))


def test_a_family_that_this_machine_lacks_is_passed_over(
    listener: socket.socket, near: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_socket = kernel_tcp.open_socket

    def open_ipv4(family: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no IPv6")
        return open_socket(family)

    monkeypatch.setattr(kernel_tcp, "open_socket", open_ipv4)
    named(monkeypatch, (socket.AF_INET6, ("::1", 1)), (socket.AF_INET, listener.getsockname()))
    asyncio.run(TcpEndpoint(NAMED).connect(near)).close()


def test_without_descriptors_no_address_is_tried(near: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(family: int) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(kernel_tcp, "open_socket", refuse)
    with pytest.raises(OSError, match="too many open files"):
        asyncio.run(TcpEndpoint(at(1)).connect(near))


def test_a_silent_address_is_left_for_the_next_one(
    listener: socket.socket, near: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_tcp, "MOVE_ON_S", 0.01)
    with socket.create_server((LOOPBACK, 0), backlog=0) as silent:
        waiting = list(full(silent))
        named(monkeypatch, (socket.AF_INET, silent.getsockname()), (socket.AF_INET, listener.getsockname()))
        asyncio.run(TcpEndpoint(NAMED).connect(near)).close()
        for sock in waiting:
            sock.close()


def test_a_server_that_never_answers_is_given_up_in_time(near: Channel) -> None:
    with socket.create_server((LOOPBACK, 0), backlog=0) as silent:
        waiting = list(full(silent))
        with pytest.raises(TimedOutError, match=r"no connection within 0.02 s: .* does not answer"):
            asyncio.run(TcpEndpoint(at(port_of(silent)), timeout=0.02).connect(near))
        for sock in waiting:
            sock.close()


def test_a_server_that_is_not_there_yet_is_waited_for(near: Channel) -> None:
    port = free_port()
    told: list[Event] = []

    async def main() -> None:
        connecting = asyncio.ensure_future(
            TcpEndpoint(at(port), wait=20.0, observer=told.append).connect(near)
        )
        while not any(isinstance(event, CallFailed) for event in told):
            await asyncio.sleep(0)
        with socket.create_server((LOOPBACK, port)):
            (await connecting).close()

    asyncio.run(main())


def test_waiting_ends_with_the_last_obstacle(near: Channel) -> None:
    with pytest.raises(TimedOutError, match=r"no connection within 0.02 s: nobody listens on"):
        asyncio.run(TcpEndpoint(at(free_port()), wait=0.02).connect(near))


def test_what_does_not_pass_is_not_waited_for(near: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        endpoint_tcp, "tcp_refusal", lambda address, answers: AfunixError("no", errno=errno.EPERM)
    )
    with pytest.raises(AfunixError, match="no"):
        asyncio.run(TcpEndpoint(at(free_port()), wait=20.0).connect(near))


def test_a_connection_that_meets_itself_is_nobody(near: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        monkeypatch.setattr(kernel_tcp, "is_its_own_peer", lambda sock: True)
        with pytest.raises(NobodyListensError):
            asyncio.run(TcpEndpoint(at(port_of(listener))).connect(near))


def test_a_server_that_resets_at_once_is_still_heard(near: Channel) -> None:
    """Its reset is there before the connect was looked at, and what it sent before that, too."""
    told: list[Event] = []
    with socket.create_server((LOOPBACK, 0)) as listener:

        async def main() -> Channel:
            connecting = asyncio.ensure_future(
                TcpEndpoint(at(port_of(listener)), observer=told.append).connect(near)
            )
            while not told:
                await asyncio.sleep(0)
            server, _ = listener.accept()
            server.sendall(b"go away")
            reset(server)
            return await connecting

        far = asyncio.run(main())
        assert far.try_receive(100) == b"go away"
        assert far.try_receive(100) == b""
        far.close()
    assert told[-1] == CallFailed(told[0].fd, Call.READ, errno.ECONNRESET)


def test_cancelled_it_leaves_nothing_open(near: Channel) -> None:
    told: list[Event] = []

    async def main() -> None:
        with socket.create_server((LOOPBACK, 0), backlog=0) as silent:
            waiting = list(full(silent))
            connecting = asyncio.ensure_future(
                TcpEndpoint(at(port_of(silent)), observer=told.append).connect(near)
            )
            while not told:
                await asyncio.sleep(0)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            for sock in waiting:
                sock.close()

    asyncio.run(main())
    assert [type(event) for event in told] == [Created, Closed]


def test_every_call_is_told(listener: socket.socket, near: Channel) -> None:
    told: list[Event] = []
    address = at(port_of(listener))
    far = asyncio.run(TcpEndpoint(address, observer=told.append).connect(near))
    assert told == [Created(far.fd, "SOCK_STREAM", "AF_INET"), Connected(far.fd, address)]
    far.close()


def test_the_connection_really_leads_there(listener: socket.socket, near: Channel) -> None:
    far = asyncio.run(TcpEndpoint(at(port_of(listener))).connect(near))
    server, _ = listener.accept()
    with server, dialled(port_of(listener)):
        server.sendall(b"hello")
        assert far.try_receive(100) == b"hello"
    far.close()
