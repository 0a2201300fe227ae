"""The relay in front of the echo server."""

from __future__ import annotations

import os
import signal

import pytest
from tests.examples.running import ask, client, run, running, stop
from tests.program import Ended


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/front"


@pytest.fixture
def server(sock_dir: str) -> str:
    return f"{sock_dir}/s"


def test_the_server_behind_it_answers(path: str, server: str) -> None:
    with running("echo_server.py", server), running("relay.py", path, server):
        client(path).close()
        assert run("echo_client.py", "hello there", path) == Ended(0, b"hello there\n", "")


def test_a_client_may_come_before_the_server(path: str, server: str) -> None:
    with running("relay.py", path, server), client(path) as early:
        early.send(b"hello\n")
        with running("echo_server.py", server):
            assert early.receive_until(b"\n") == b"hello\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_without_a_word(path: str, server: str, number: int) -> None:
    with running("echo_server.py", server), running("relay.py", path, server) as relay:
        assert ask(path) == b"hello\n"
        assert stop(relay, number) == Ended(0, b"", "")
    assert not os.path.lexists(path)


def test_it_says_that_it_would_reach_itself(path: str) -> None:
    ended = run("relay.py", path, path)
    assert (ended.status, ended.out) == (1, b"")
    assert "leads back to this relay" in ended.err
    assert "Traceback" not in ended.err


def test_it_says_how_it_is_used(path: str) -> None:
    assert run("relay.py", path) == Ended(1, b"", "usage: python3 relay.py PATH SERVER\n")
