"""Relays that lead to each other, each a process of its own: whoever comes is closed at once, and nothing is left."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise

import pytest
from tests.program import PATIENCE_S, ended, environment, start
from tests.relay_runs import wait_until
from tests.servers import echo, serving
from tests.tcp_servers import dialled, dialled_unix, free_port

Ring = list[str]

AT_REST = 24
"""Descriptors of a relay without clients: 10, and pipes for the next ones."""


def two(directory: str) -> Ring:
    return [f"{directory}/a", f"{directory}/b"]


def three(directory: str) -> Ring:
    return [*two(directory), f"{directory}/c"]


def by_tcp(directory: str) -> Ring:
    return [f"{directory}/a", f"tcp:127.0.0.1:{free_port()}"]


class Relays:
    """`relay` from each address of the ring to the next one, and from the last to the first."""

    def __init__(self, ring: Ring, *options: str) -> None:
        self._processes = [
            start("relay", *options, one, other, env=environment())
            for one, other in zip(ring, [*ring[1:], ring[0]], strict=True)
        ]
        for address in ring:
            wait_until(lambda address=address: is_there(address))  # type: ignore[misc]

    def are_at_rest(self) -> bool:
        """Without a connection; a few pipes are kept."""
        return all(len(os.listdir(f"/proc/{process.pid}/fd")) <= AT_REST for process in self._processes)

    def stop(self) -> str:
        """What they said; each must end well."""
        for process in self._processes:
            process.terminate()
        ends = [ended(process) for process in self._processes]
        assert [end.status for end in ends] == [0] * len(ends), ends
        return "".join(end.err for end in ends)

    def close(self) -> None:
        for process in self._processes:
            with process:
                process.kill()


def is_there(address: str) -> bool:
    if not address.startswith("tcp:"):
        return os.path.exists(address)
    port = f":{int(address.rpartition(':')[2]):04X}"
    with open("/proc/net/tcp", encoding="ascii") as file:
        return any(row.split()[1].endswith(port) and row.split()[3] == "0A" for row in list(file)[1:])


@pytest.fixture
def running() -> Iterator[Callable[..., Relays]]:
    with ExitStack() as opened:

        def run(ring: Ring, *options: str) -> Relays:
            relays = Relays(ring, *options)
            opened.callback(relays.close)
            return relays

        yield run


RINGS = pytest.mark.parametrize("make_ring", [two, three, by_tcp])


def say_and_read(sock: socket.socket) -> bytes:
    """Whatever comes; an end may be a reset, for what was said."""
    with suppress(ConnectionError):
        sock.sendall(b"hello")
        return sock.recv(1)
    return b""


@RINGS
def test_a_client_of_a_circle_is_closed_and_why_is_told(
    sock_dir: str, make_ring: Callable[[str], Ring], running: Callable[..., Relays]
) -> None:
    ring = make_ring(sock_dir)
    relays = running(ring)
    for _ in range(3):
        with dialled_unix(ring[0]) as sock:
            assert say_and_read(sock) == b""
    wait_until(relays.are_at_rest)
    told = relays.stop()
    assert "leads back to this relay, through another one: a circle" in told
    assert "one of them has to connect to the server" in told


def test_a_client_that_comes_by_tcp_is_closed_too(sock_dir: str, running: Callable[..., Relays]) -> None:
    ring = by_tcp(sock_dir)
    relays = running(ring)
    with dialled(int(ring[1].rpartition(":")[2])) as sock:
        assert say_and_read(sock) == b""
    wait_until(relays.are_at_rest)
    assert "a circle" in relays.stop()


@pytest.mark.parametrize("make_ring", [two, three])
def test_a_circle_of_relays_that_are_full_is_over_when_its_client_leaves(
    sock_dir: str, make_ring: Callable[[str], Ring], running: Callable[..., Relays]
) -> None:
    ring = make_ring(sock_dir)
    relays = running(ring, "-v", "--max-clients", "1")
    for _ in range(3):
        with dialled_unix(ring[0]):
            pass
    wait_until(relays.are_at_rest)
    numbers = [int(number) for number in re.findall(r"client (\d+)", relays.stop())]
    assert max(numbers) <= 12, "the end of one client is the beginning of the next"


def test_one_relay_behind_another_is_no_circle(sock_dir: str, running: Callable[..., Relays]) -> None:
    """Also where client and server are one process, and the way leads through a port."""
    port = free_port()
    ways = [f"{sock_dir}/a", f"{sock_dir}/b", f"tcp:127.0.0.1:{port}", f"{sock_dir}/server"]
    with serving(ways[-1], echo), ExitStack() as opened:
        for one, other in pairwise(ways):
            process = opened.enter_context(start("relay", one, other))
            opened.callback(process.kill)
            wait_until(lambda one=one: is_there(one))  # type: ignore[misc]
        with dialled_unix(ways[0]) as sock:
            sock.settimeout(PATIENCE_S)
            sock.sendall(b"hello")
            assert sock.recv(5) == b"hello"
