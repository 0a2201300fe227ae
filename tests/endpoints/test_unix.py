"""Connections to a Unix socket: at once, waited for, refused, and as who the client is."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest
from tests.sharing import can_refuse

from afunix.endpoints.unix import UnixEndpoint
from afunix.kernel.as_client import Identity
from afunix.kernel.channel import Channel
from afunix.kernel.peercred import peer_credentials
from afunix.kernel.relay_trail import RelayTrail
from afunix.model.address import Address
from afunix.model.errors import DeniedError, NobodyListensError, NoSuchSocketError, WrongTypeError

SOMEBODY = Identity(65531, 65532, (65530,))

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as its clients")


@pytest.fixture
def near() -> Iterator[Channel]:
    one, other = socket.socketpair()
    channel = Channel(one, 7)
    with other:
        yield channel
    channel.close()


@pytest.fixture
def listener(sock_dir: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        sock.listen()
        yield sock


def at(sock_dir: str) -> Address:
    return Address.parse(f"{sock_dir}/s")


def connected(endpoint: UnixEndpoint, near: Channel) -> None:
    """It can be had at once, and is the client's number."""
    far = endpoint.connect_now(near)
    assert far is not None
    assert (far.connection, os.get_blocking(far.fd)) == (near.connection, False)
    far.close()


def test_a_server_that_is_there_is_connected_at_once(
    sock_dir: str, listener: socket.socket, near: Channel
) -> None:
    connected(UnixEndpoint(at(sock_dir)), near)


@pytest.mark.parametrize("is_waited_for", [False, True])
def test_a_trail_names_what_is_connected(
    sock_dir: str, listener: socket.socket, near: Channel, is_waited_for: bool
) -> None:
    endpoint = UnixEndpoint(at(sock_dir), trail=RelayTrail())
    far = asyncio.run(endpoint.connect(near)) if is_waited_for else endpoint.connect_now(near)
    assert far is not None
    accepted, name = listener.accept()
    accepted.close()
    far.close()
    assert name.startswith(b"\0afunix-relay/")


def test_an_absent_server_is_first_no_error_and_then_told(sock_dir: str, near: Channel) -> None:
    endpoint = UnixEndpoint(at(sock_dir))
    assert endpoint.connect_now(near) is None
    with pytest.raises(NoSuchSocketError):
        asyncio.run(endpoint.connect(near))


def test_an_absent_server_is_waited_for(sock_dir: str, near: Channel) -> None:
    async def come_late() -> None:
        task = asyncio.create_task(UnixEndpoint(at(sock_dir), wait=10).connect(near))
        await asyncio.sleep(0)
        with socket.socket(socket.AF_UNIX) as late:
            late.bind(f"{sock_dir}/s")
            late.listen()
            (await task).close()

    asyncio.run(come_late())


def test_a_wait_that_is_cancelled_leaves_nothing_open(sock_dir: str, near: Channel) -> None:
    async def give_up() -> None:
        task = asyncio.create_task(UnixEndpoint(at(sock_dir), wait=10).connect(near))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())


def test_a_server_of_another_type_is_refused(sock_dir: str, listener: socket.socket, near: Channel) -> None:
    with pytest.raises(WrongTypeError):
        asyncio.run(UnixEndpoint(at(sock_dir), "seqpacket").connect(near))


@pytest.mark.skipif(not can_refuse(), reason="the kernel refuses descriptors since Linux 6.16")
def test_descriptors_are_refused_unless_they_are_wanted(
    sock_dir: str, listener: socket.socket, near: Channel
) -> None:
    for wanted in (False, True):
        endpoint = UnixEndpoint(at(sock_dir), takes_descriptors=wanted)
        assert endpoint.refuses_fds is not wanted
        far = endpoint.connect_now(near)
        assert far is not None
        with listener.accept()[0] as server:
            if wanted:
                socket.send_fds(server, [b"x"], [0])
            else:
                with pytest.raises(PermissionError):
                    socket.send_fds(server, [b"x"], [0])
        far.close()


@pytest.fixture
def as_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afunix.kernel.as_client.identity_of", lambda sock: SOMEBODY)


@as_root
@pytest.mark.usefixtures("as_somebody")
def test_as_its_client_the_server_sees_the_client(
    sock_dir: str, listener: socket.socket, near: Channel
) -> None:
    os.chmod(sock_dir, 0o755)
    os.chmod(f"{sock_dir}/s", 0o666)
    connected(UnixEndpoint(at(sock_dir), as_client=True), near)
    with listener.accept()[0] as server:
        assert peer_credentials(server).uid == SOMEBODY.uid


@as_root
@pytest.mark.usefixtures("as_somebody")
def test_as_its_client_a_refusal_is_the_client_s(
    sock_dir: str, listener: socket.socket, near: Channel
) -> None:
    os.chmod(sock_dir, 0o755)
    os.chmod(f"{sock_dir}/s", 0o600)
    endpoint = UnixEndpoint(at(sock_dir), as_client=True)
    assert endpoint.connect_now(near) is None
    with pytest.raises(DeniedError, match=r"needs write permission.*you are uid 65531"):
        asyncio.run(endpoint.connect(near))
    os.chmod(sock_dir, 0o700)
    with pytest.raises(DeniedError, match=r"needs search permission.*you are uid 65531"):
        asyncio.run(endpoint.connect(near))


@as_root
@pytest.mark.usefixtures("as_somebody")
def test_as_its_client_a_stale_socket_is_stale(sock_dir: str, listener: socket.socket, near: Channel) -> None:
    os.chmod(sock_dir, 0o755)
    os.chmod(f"{sock_dir}/s", 0o666)
    listener.close()
    with pytest.raises(NobodyListensError):
        asyncio.run(UnixEndpoint(at(sock_dir), as_client=True).connect(near))
