"""Two relays on two hosts, with TCP between them: each host is a network namespace, and a veth(4) pair is the cable."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from tests.faults.users import IS_ROOT, User
from tests.peers import require
from tests.program import PATIENCE_S, ended
from tests.servers import read_all, serving
from tests.tcp_servers import dialled_unix

ADDRESSES = ("192.0.2.1", "192.0.2.2")
PORT = 4000
BULK = random.Random(1).randbytes(16 << 20)


class Host:
    """A network namespace that lives as long as a process of its own."""

    def __init__(self, stack: ExitStack) -> None:
        process = subprocess.Popen(
            [require("unshare"), "--net", "sh", "-c", "echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        stack.enter_context(process)
        stack.callback(process.kill)
        self.pid = process.pid
        assert process.stdout is not None
        if process.stdout.readline() != b"\n":
            pytest.skip("no network namespaces here")

    @property
    def entering(self) -> list[str]:
        return [require("nsenter"), f"--net=/proc/{self.pid}/ns/net"]

    def ip(self, *args: str) -> None:
        subprocess.run([*self.entering, require("ip"), *args], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    """Two that reach each other, at ADDRESSES."""
    if not IS_ROOT:
        pytest.skip("takes root: two network namespaces are joined")
    with ExitStack() as stack:
        one, other = Host(stack), Host(stack)
        one.ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(other.pid))
        for host, name, address in ((one, "near", ADDRESSES[0]), (other, "far", ADDRESSES[1])):
            host.ip("address", "add", f"{address}/24", "dev", name)
            host.ip("link", "set", name, "up")
        yield one, other


@contextmanager
def relaying(user: User, host: Host, listen: str, connect: str) -> Iterator[None]:
    """On that host, by that user; it has to end in order."""
    relay = user.start_as_me(
        *("relay", "-v", listen, connect),
        prefix=[*host.entering, *user.becoming()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert relay.stderr is not None
        while b"listening on" not in (line := relay.stderr.readline()):
            assert line, "the relay did not start"
        yield
    finally:
        relay.terminate()
        end = ended(relay)
    assert end.status == 0, end.err


def answer(connection: socket.socket) -> str:
    """When all has come, and its end."""
    got = read_all(connection)
    connection.sendall(got[::-1])
    return hashlib.sha256(got).hexdigest()


def test_a_socket_here_is_a_server_s_there(user: User, place: str, hosts: tuple[Host, Host]) -> None:
    cable = f"tcp:{ADDRESSES[1]}:{PORT}"
    with (
        serving(f"{place}/s", answer) as server,
        relaying(user, hosts[1], cable, f"{place}/s"),
        relaying(user, hosts[0], f"{place}/r", cable),
    ):
        os.chmod(f"{place}/s", 0o666)
        for _ in range(2):
            with dialled_unix(f"{place}/r") as client:
                client.sendall(BULK)
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == BULK[::-1]
            assert server.result() == hashlib.sha256(BULK).hexdigest()


def test_a_host_whose_cable_is_pulled_is_told_of_at_the_other(
    user: User, place: str, hosts: tuple[Host, Host]
) -> None:
    """Without a way to it, a client is closed at once; the next one is served when it is back."""
    cable = f"tcp:{ADDRESSES[1]}:{PORT}"
    with (
        serving(f"{place}/s", answer),
        relaying(user, hosts[1], cable, f"{place}/s"),
        relaying(user, hosts[0], f"{place}/r", cable),
    ):
        os.chmod(f"{place}/s", 0o666)
        hosts[0].ip("link", "set", "near", "down")
        with dialled_unix(f"{place}/r") as client:
            assert client.recv(1) == b""
        hosts[0].ip("link", "set", "near", "up")
        with dialled_unix(f"{place}/r") as client:
            client.sendall(b"abc")
            client.shutdown(socket.SHUT_WR)
            client.settimeout(PATIENCE_S)
            assert read_all(client) == b"cba"
