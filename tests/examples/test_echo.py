"""The echo server and its client."""

from __future__ import annotations

import os
import signal

import pytest
from tests.examples.running import client, run, running, stop
from tests.program import Ended


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


def test_what_the_client_says_is_said_back(path: str) -> None:
    with running("echo_server.py", path):
        client(path).close()
        assert run("echo_client.py", "hello there", path) == Ended(0, b"hello there\n", "")


def test_everybody_is_served_at_once(path: str) -> None:
    with running("echo_server.py", path), client(path) as one, client(path) as other:
        for stream, words in ((other, b"second"), (one, b"first")):
            stream.send(words)
            assert stream.receive_exactly(len(words)) == words


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_without_a_word_and_without_a_trace(path: str, number: int) -> None:
    with running("echo_server.py", path) as server:
        with client(path) as stream:
            stream.send(b"x")
            stream.receive()
        assert stop(server, number) == Ended(0, b"", "")
    assert not os.path.lexists(path)


def test_a_second_server_says_who_was_first(path: str) -> None:
    with running("echo_server.py", path) as first:
        client(path).close()
        second = run("echo_server.py", path)
    assert second.status == 1
    assert f"is in use: pid {first.pid} (" in second.err
    assert "Traceback" not in second.err


def test_the_client_says_that_nobody_is_there(path: str) -> None:
    ended = run("echo_client.py", "hello", path)
    assert (ended.status, ended.out) == (1, b"")
    assert "ENOENT" in ended.err
    assert "Traceback" not in ended.err


def test_the_client_says_how_it_is_used() -> None:
    assert run("echo_client.py") == Ended(1, b"", "usage: python3 echo_client.py WORDS [PATH]\n")
