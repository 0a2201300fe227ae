"""A listener on another host has a listener's face: readable when somebody comes, refused, removed, closed."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.program import PATIENCE_S
from tests.sshd import Sshd, serving_ssh
from tests.tcp_servers import dialled_unix

from afunix.endpoints.ssh_listener import SshListener
from afunix.model.address import Address
from afunix.model.errors import AddressInUseError, AfunixError
from afunix.model.events import Bound, Closed, Event, Listening, Unlinked

pytest.importorskip("asyncssh")


@pytest.fixture
def sshd(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    with serving_ssh(sock_dir) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


def address(sshd: Sshd) -> Address:
    return Address.parse(f"ssh:far:{sshd.folder}/r")


def wait_for_client(listener: SshListener) -> None:
    assert select.select([listener.ready_fd], [], [], PATIENCE_S)[0]


def test_client_is_accepted_with_the_address_as_its_name(sshd: Sshd) -> None:
    listener = SshListener(address(sshd))
    with pytest.raises(BlockingIOError):
        listener.accept_named()
    with dialled_unix(f"{sshd.folder}/r") as client:
        client.sendall(b"hello")
        wait_for_client(listener)
        sock, name = listener.accept_named()
        sock.settimeout(PATIENCE_S)
        assert (sock.recv(100), name) == (b"hello", str(address(sshd)))
        sock.close()
        assert client.recv(1) == b""
    listener.close()
    listener.close()


def test_client_who_came_before_the_end_is_still_accepted(sshd: Sshd) -> None:
    listener = SshListener(address(sshd))
    with dialled_unix(f"{sshd.folder}/r"):
        listener.refuse_new()
        sock, _ = listener.accept_named()
        sock.close()
        with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
            late.connect(f"{sshd.folder}/r")
    assert listener.unlink() is None
    assert not os.path.exists(f"{sshd.folder}/r")
    listener.close()


def test_observer_is_told(sshd: Sshd) -> None:
    events: list[Event] = []
    SshListener(address(sshd), observer=events.append).close()
    assert [type(event) for event in events] == [Bound, Listening, Unlinked, Closed]


def test_clients_above_the_backlog_are_turned_away(sshd: Sshd) -> None:
    listener = SshListener(address(sshd), backlog=1)
    with dialled_unix(f"{sshd.folder}/r"):
        wait_for_client(listener)
        with dialled_unix(f"{sshd.folder}/r") as second:
            assert second.recv(1) == b""
    listener.close()


def test_path_that_is_taken_is_refused_and_stays(sshd: Sshd) -> None:
    with open(f"{sshd.folder}/r", "w"), pytest.raises(AfunixError):
        SshListener(address(sshd))
    os.remove(f"{sshd.folder}/r")
    first = SshListener(address(sshd))
    with pytest.raises(AddressInUseError):
        SshListener(address(sshd))
    with dialled_unix(f"{sshd.folder}/r"):
        wait_for_client(first)
    first.close()


def test_what_cannot_be_removed_is_told_with_the_command_that_does(sshd: Sshd) -> None:
    listener = SshListener(address(sshd))
    sshd.stop()
    obstacle = listener.unlink()
    assert obstacle is not None
    assert f"ssh far 'rm {sshd.folder}/r'" in str(obstacle.hint)
    listener.close()


def test_client_who_comes_as_soon_as_there_is_a_path_is_taken(sshd: Sshd) -> None:
    def come() -> None:
        while True:
            client = socket.socket(socket.AF_UNIX)
            try:
                client.connect(f"{sshd.folder}/r")
                came.append(client)
                return
            except OSError:
                client.close()

    came: list[socket.socket] = []
    thread = threading.Thread(target=come)
    thread.start()
    listener = SshListener(address(sshd))
    thread.join(PATIENCE_S)
    wait_for_client(listener)
    listener.accept_named()[0].close()
    came[0].close()
    listener.close()
