"""`relay()` in this process, between clients and a server in threads: what goes through, and what no relay is made of."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.program import PATIENCE_S, start
from tests.relay_runs import SETTINGS, Ran, connect, run, wait_until
from tests.servers import echo, read_all, serving

from afunix.kernel import fallbacks
from afunix.model.address import Address
from afunix.model.errors import AddressError, NoSuchSocketError
from afunix.model.events import Accepted, Closed, Stopping
from afunix.tools.relay import RelaySettings, relay
from afunix.tools.settings import Cause

BULK = random.Random(1).randbytes(1 << 20)


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What `relay` changes of the process is put back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


# What goes through


def test_every_client_has_its_own_conversation(sock_dir: str) -> None:
    def ask(ran: Ran) -> None:
        for word in (b"one", b"two"):
            with connect(ran.path) as client:
                client.sendall(word)
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == word

    with serving(f"{sock_dir}/u", echo) as server:
        ran = run(sock_dir, ask)
        assert [server.result(), server.result()] == [b"one", b"two"]
    result = ran.result
    assert (result.cause, result.served, result.bytes_lost, result.moved) == (Cause.SIGNAL, 2, 0, (6, 6))
    assert os.listdir(sock_dir) == ["u"]
    assert [kind for kind in ran.types() if kind in (Accepted, Closed, Stopping)][:2] == [Accepted, Closed]


def pour(sock: socket.socket, pieces: int) -> str:
    """Send so many pieces and half-close; the hash of what was sent."""
    digest = hashlib.blake2b()
    for number in range(pieces):
        piece = bytes([number % 256]) + BULK
        digest.update(piece)
        sock.sendall(piece)
    sock.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def swallow(sock: socket.socket) -> str:
    digest = hashlib.blake2b()
    while piece := sock.recv(1 << 18):
        digest.update(piece)
    return digest.hexdigest()


def pour_and_swallow(sock: socket.socket) -> tuple[str, str]:
    poured: list[str] = []
    thread = threading.Thread(target=lambda: poured.append(pour(sock, 32)))
    thread.start()
    swallowed = swallow(sock)
    thread.join(PATIENCE_S)
    return poured[0], swallowed


@pytest.mark.parametrize("forced", ["", "splice"])
def test_bulk_both_ways_at_once_has_equal_hashes(
    sock_dir: str, forced: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallbacks, "_forced", lambda: frozenset({forced}))
    sums: list[tuple[str, str]] = []

    def exchange(ran: Ran) -> None:
        with connect(ran.path) as client:
            sums.append(pour_and_swallow(client))

    with serving(f"{sock_dir}/u", pour_and_swallow) as server:
        ran = run(sock_dir, exchange)
        assert server.result() == sums[0][::-1]
    assert ran.result.moved == (32 * (len(BULK) + 1),) * 2


def test_answer_comes_late_after_the_clients_half_close(sock_dir: str) -> None:
    asked = threading.Event()

    def answer_late(connection: socket.socket) -> None:
        read_all(connection)
        asked.set()
        assert may_answer.wait(PATIENCE_S)
        connection.sendall(b"late")

    def ask(ran: Ran) -> None:
        with connect(ran.path) as client:
            client.shutdown(socket.SHUT_WR)
            assert asked.wait(PATIENCE_S)
            may_answer.set()
            assert read_all(client) == b"late"

    may_answer = threading.Event()
    with serving(f"{sock_dir}/u", answer_late):
        run(sock_dir, ask)


# The server


def test_client_of_a_server_that_is_not_there_is_closed_and_the_next_one_served(sock_dir: str) -> None:
    def ask_twice(ran: Ran) -> None:
        with connect(ran.path) as client:
            assert client.recv(1) == b""
        with serving(ran.up, echo), connect(ran.path) as client:
            client.sendall(b"hi")
            assert client.recv(9) == b"hi"

    ran = run(sock_dir, ask_twice)
    assert [type(error) for error in ran.unreachable] == [NoSuchSocketError]
    assert ran.result.unreachable == 1


def test_server_that_is_waited_for_gets_what_was_said_before_it_came(sock_dir: str) -> None:
    def come_early(ran: Ran) -> None:
        with connect(ran.path) as client:
            client.sendall(b"early")
            with serving(ran.up, echo):
                assert client.recv(9) == b"early"
                client.close()

    assert run(sock_dir, come_early, replace(SETTINGS, wait=PATIENCE_S)).unreachable == []


def test_server_that_is_killed_ends_its_clients_and_its_successor_serves_the_next(sock_dir: str) -> None:
    def outlive(ran: Ran) -> None:
        for _ in range(2):
            with start("serve", "--echo", ran.up) as server:
                wait_until(lambda: is_live(ran.up))
                with connect(ran.path) as client:
                    client.sendall(BULK[:1000])
                    assert client.recv(1000, socket.MSG_WAITALL) == BULK[:1000]
                    server.kill()
                    server.wait(PATIENCE_S)
                    assert client.recv(1) == b""
                server.communicate(timeout=PATIENCE_S)

    ran = run(sock_dir, outlive)
    assert (ran.result.bytes_lost, ran.result.served) == (0, 2)


def is_live(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


# Itself


@pytest.mark.parametrize("written", ["{0}/s", "./s", "@{0}"])
def test_relay_to_its_own_address_is_refused_before_anything_is_bound(
    sock_dir: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sock_dir)
    address = Address.parse(written.format(sock_dir))
    with pytest.raises(AddressError, match="connect to itself"):
        relay(RelaySettings((address,), address))
    assert os.listdir(sock_dir) == []
