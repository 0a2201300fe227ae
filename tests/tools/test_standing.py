"""Which sockets bear a name: the table decides, and a datagram server is left in peace."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest
from tests.tools.test_trial import fill

from afunix.kernel.socket_table import Table, entry_of, read_table
from afunix.model.address import Address
from afunix.model.reachability import judge
from afunix.model.socket_table import TableState
from afunix.tools import standing
from afunix.tools.gathering import gather


def state_of(sock: socket.socket) -> TableState:
    entry = entry_of(os.fstat(sock.fileno()).st_ino)
    assert entry is not None
    return entry.state


def datagram_socket(name: str | bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(name)
    return sock


@pytest.fixture
def without_sock_diag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afunix.kernel.socket_table.is_forced", lambda name: True)


@pytest.mark.parametrize("is_abstract", [False, True])
def test_a_datagram_server_is_not_connected_to(sock_dir: str, is_abstract: bool) -> None:
    name = f"@{sock_dir}" if is_abstract else f"{sock_dir}/s"
    with datagram_socket(f"\0{sock_dir}" if is_abstract else name) as server:
        facts = gather(Address.parse(name))
        assert state_of(server) is TableState.UNCONNECTED
    assert facts.probe is None
    assert [found.code.value for found in judge(facts)] == ["live"]


def test_a_datagram_server_beside_what_is_missing_is_not_connected_to(sock_dir: str) -> None:
    with datagram_socket(f"{sock_dir}/app.sock") as server:
        facts = gather(Address.pathname(f"{sock_dir}/ap.sock"))
        assert state_of(server) is TableState.UNCONNECTED
    assert [near.format() for near in facts.neighbours] == [f"{sock_dir}/app.sock"]


@pytest.mark.parametrize("is_abstract", [False, True])
@pytest.mark.parametrize("blind", [False, True])
def test_a_datagram_server_that_others_are_connected_to_is_live(
    sock_dir: str, is_abstract: bool, blind: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afunix.kernel.socket_table.is_forced", lambda name: blind)
    name = f"\0{sock_dir}" if is_abstract else f"{sock_dir}/s"
    address = Address.parse(f"@{sock_dir}" if is_abstract else name)
    with datagram_socket(name) as server, datagram_socket(f"{sock_dir}/t") as client:
        client.connect(name)
        assert state_of(server) is TableState.CONNECTED
        assert [found.code.value for found in judge(gather(address))] == ["live"]
        server.connect(f"{sock_dir}/t")
        assert [found.code.value for found in judge(gather(address))] == ["has-its-peer"]


@pytest.mark.usefixtures("without_sock_diag")
def test_what_is_stale_is_known_without_sock_diag(sock_dir: str) -> None:
    datagram_socket(f"{sock_dir}/s").close()
    assert [found.code.value for found in judge(gather(Address.pathname(f"{sock_dir}/s")))] == ["stale"]


def test_a_full_queue_of_a_datagram_server_is_told(sock_dir: str) -> None:
    with datagram_socket(f"{sock_dir}/s"), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(f"{sock_dir}/s")
        fill(client)
        found = [finding.code.value for finding in judge(gather(Address.pathname(f"{sock_dir}/s")))]
    assert found == ["live", "queue-full"]


def test_unread_datagrams_of_one_that_nobody_is_connected_to_are_told_without_connecting(
    sock_dir: str,
) -> None:
    with (
        datagram_socket(f"{sock_dir}/s") as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        client.sendto(b"datagram", f"{sock_dir}/s")
        found = [finding.code.value for finding in judge(gather(Address.pathname(f"{sock_dir}/s")))]
        assert state_of(server) is TableState.UNCONNECTED
    assert found == ["live", "unread"]


class Counted:
    """How often the whole table is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0

        def count() -> Table:
            self.times += 1
            return read_table()

        monkeypatch.setattr(standing, "read_table", count)


def test_who_looks_again_asks_for_the_sockets_that_he_knows(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, memory = Counted(monkeypatch), standing.Memory()
    address = Address.pathname(f"{sock_dir}/s")
    seen = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        calls: list[Callable[[], object]] = [sock.fileno, sock.listen, sock.close]
        for call in calls:
            call()
            facts = gather(address, thorough=False, memory=memory)
            seen.append(judge(facts)[0].code.value)
    assert seen == ["not-listening", "live", "stale"]
    assert counted.times == 2  # once for the socket, once because it has gone
    assert judge(gather(address, thorough=False, memory=memory))[0].code.value == "stale"
    assert counted.times == 2


def test_a_new_file_is_another_socket(sock_dir: str) -> None:
    memory = standing.Memory()
    address = Address.pathname(f"{sock_dir}/s")
    for expected in ("stale", "live"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"{sock_dir}/s")
            sock.listen()
            if expected == "stale":
                sock.close()
            assert judge(gather(address, thorough=False, memory=memory))[0].code.value == expected
        os.unlink(f"{sock_dir}/s")
