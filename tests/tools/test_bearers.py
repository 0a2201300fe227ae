"""What else bears a name: near files, whatever their number, and servers whose file is gone."""

from __future__ import annotations

import os
import socket

import pytest

from afunix.kernel.mounts import Superblocks
from afunix.model.address import Address
from afunix.model.socket_table import FileIdentity
from afunix.tools import bearers
from afunix.tools.gathering import gather


def make(path: str, *, alive: bool = True) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    if not alive:
        sock.close()
    return sock


def test_only_live_sockets_are_near(sock_dir: str) -> None:
    make(f"{sock_dir}/app1", alive=False)
    os.mkfifo(f"{sock_dir}/app3")
    with make(f"{sock_dir}/app2"):
        facts = gather(Address.pathname(f"{sock_dir}/app"))
    assert [near.format() for near in facts.neighbours] == [f"{sock_dir}/app2"]


def test_of_a_full_directory_only_the_nearest_are_looked_at(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    is_alive = bearers._is_alive

    def look(path: bytes, alive: set[FileIdentity], superblocks: Superblocks) -> bool:
        looked.append(path)
        return is_alive(path, alive, superblocks)

    monkeypatch.setattr(bearers, "_is_alive", look)
    for number in range(60):
        make(f"{sock_dir}/worker-{number}", alive=False)
    with make(f"{sock_dir}/app.sock"):
        facts = gather(Address.pathname(f"{sock_dir}/ap.sock"))
    assert [near.format() for near in facts.neighbours] == [f"{sock_dir}/app.sock"]
    assert len(looked) <= 20


def test_nothing_beside_is_looked_for_unless_it_is_asked(sock_dir: str) -> None:
    with make(f"{sock_dir}/app.sock"):
        assert gather(Address.pathname(f"{sock_dir}/ap.sock"), thorough=False).neighbours == ()


def test_a_datagram_server_whose_file_is_gone_is_told_also_when_others_are_connected_to_it(
    sock_dir: str,
) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        server.bind(f"{sock_dir}/s")
        client.connect(f"{sock_dir}/s")
        os.unlink(f"{sock_dir}/s")
        facts = gather(Address.pathname(f"{sock_dir}/s"))
    assert [one.owner and one.owner.pid for one in facts.removed] == [os.getpid()]
