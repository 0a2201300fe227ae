"""Several processes that share the clients of one server."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.examples.running import Program, ask, client, running, stop, until
from tests.program import Ended, ended


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@pytest.fixture
def server(path: str) -> Iterator[Program]:
    with running("workers.py", path) as program:
        yield program


def worker_in(answer: bytes) -> int:
    found = re.fullmatch(rb"worker (\d+): hello\n", answer)
    assert found, answer
    return int(found[1])


def test_clients_are_handed_to_the_workers_in_turn(server: Program, path: str) -> None:
    served = Counter(worker_in(ask(path)) for _ in range(9))
    assert sorted(served.values()) == [3, 3, 3]
    assert server.pid not in served


def test_many_are_served_at_once(server: Program, path: str) -> None:
    streams = [client(path) for _ in range(12)]
    for stream in reversed(streams):
        with stream:
            stream.send(b"hello\n")
            worker_in(stream.receive_until(b"\n"))


def test_who_breaks_off_harms_nobody(server: Program, path: str) -> None:
    with client(path) as neighbour, client(path), client(path), client(path) as rude:  # the same worker's
        for stream in (neighbour, rude):
            stream.send(b"hello\n")
        assert worker_in(rude.receive_until(b"\n")) == worker_in(neighbour.receive_until(b"\n"))
        rude.send(b"hello\n" * 1000)
        rude.close()
        neighbour.send(b"hello\n")
        worker_in(neighbour.receive_until(b"\n"))


def test_at_the_end_a_worker_finishes_what_it_has_begun(server: Program, path: str) -> None:
    with client(path) as stream:
        stream.send(b"hello\n")
        worker = worker_in(stream.receive_until(b"\n"))
        server.terminate()
        until(lambda: not os.path.lexists(path))
        stream.send(b"hello\n")
        assert worker_in(stream.receive_until(b"\n")) == worker
    assert ended(server) == Ended(0, b"", "")


def test_sigterm_ends_all_of_them(server: Program, path: str) -> None:
    workers = {worker_in(ask(path)) for _ in range(3)}
    assert stop(server) == Ended(0, b"", "")
    assert not os.path.lexists(path)
    assert [worker for worker in workers if os.path.exists(f"/proc/{worker}")] == []
