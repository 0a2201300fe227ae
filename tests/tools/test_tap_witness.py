"""What happens becomes events: who, when, and what was said."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.program import PATIENCE_S
from tests.relay_runs import connect
from tests.servers import echo, read_all, serving
from tests.tap_runs import Ran, ask, run

from afunix.kernel.relay_pumps import Watch
from afunix.model.tapped import Opened, Over, Said, SaidAll, Side
from afunix.tools.tap_witness import PairWatch


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What `tap` changes of the process is put back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_conversation_is_told_from_its_beginning_to_its_end(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo):
        ran = run(f"{sock_dir}/s", lambda ran: ask(ran.path))
    opened = ran.events[0]
    assert isinstance(opened, Opened)
    assert (opened.connection, opened.peer.pid, opened.peer.uid) == (1, os.getpid(), os.geteuid())
    said = [(event.side, event.data) for event in ran.events if isinstance(event, Said)]
    assert said == [(Side.CLIENT, b"hello"), (Side.SERVER, b"hello")]
    ends = [event.side for event in ran.events if isinstance(event, SaidAll)]
    assert ends == [Side.CLIENT, Side.SERVER]
    assert isinstance(ran.events[-1], Over) and ran.events[-1].reason == ""
    times = [event.at_s for event in ran.events]
    assert times == sorted(times) and times[0] >= 0


def test_a_pair_s_watch_is_what_the_pumps_take() -> None:
    watch: Watch = PairWatch(1, 0.0, lambda event: None)
    watch.ended(True)


def reasons(ran: Ran) -> list[str]:
    return [event.reason for event in ran.events if isinstance(event, Over)]


def test_a_client_that_leaves_without_reading_has_reset_it(sock_dir: str) -> None:
    def greet(connection: socket.socket) -> bytes:
        connection.sendall(b"hello")
        return connection.recv(1)

    def leave(ran: Ran) -> None:
        with connect(ran.path) as client:
            assert client.recv(1, socket.MSG_PEEK) == b"h"

    with serving(f"{sock_dir}/s", greet):
        assert reasons(run(f"{sock_dir}/s", leave)) == ["reset by the client"]


def test_a_client_that_has_said_all_and_leaves_without_reading_has_reset_it(sock_dir: str) -> None:
    has_left = threading.Event()

    def answer(connection: socket.socket) -> None:
        assert read_all(connection) == b"ask"
        connection.sendall(b"hello")
        assert has_left.wait(PATIENCE_S)

    def leave(ran: Ran) -> None:
        with connect(ran.path) as client:
            client.sendall(b"ask")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1, socket.MSG_PEEK) == b"h"
        has_left.set()

    with serving(f"{sock_dir}/s", answer):
        assert reasons(run(f"{sock_dir}/s", leave)) == ["reset by the client"]


def test_a_server_that_leaves_without_reading_has_reset_it(sock_dir: str) -> None:
    def ask_and_wait(ran: Ran) -> None:
        with connect(ran.path) as client:
            client.sendall(b"hello")
            assert client.recv(1) == b""

    with serving(f"{sock_dir}/s", lambda connection: connection.recv(1, socket.MSG_PEEK)):
        assert reasons(run(f"{sock_dir}/s", ask_and_wait)) == ["reset by the server"]


def test_a_client_that_reads_no_more_has_reset_it(sock_dir: str) -> None:
    def say_on(connection: socket.socket) -> None:
        with suppress(BrokenPipeError):
            while True:
                connection.sendall(bytes(1000))

    def leave(ran: Ran) -> None:
        with connect(ran.path) as client:
            client.recv(1)

    with serving(f"{sock_dir}/s", say_on):
        assert reasons(run(f"{sock_dir}/s", leave)) == ["reset by the client"]
