"""A server that is replaced while clients come and stay: none of them notices."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.examples.running import Program, ask, client, running, stop, until
from tests.program import PATIENCE_S, Ended, ended

from afunix import blocking

Start = Callable[[], Program]


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@pytest.fixture
def start(path: str) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(running("handoff.py", path))


def server_in(answer: bytes) -> int:
    found = re.fullmatch(rb"server (\d+): hello\n", answer)
    assert found, answer
    return int(found[1])


class Asking(threading.Thread):
    """Somebody who connects and asks without a pause: `answers` are the pids of who answered."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self._path = path
        self.answers: list[int] = []
        self.failures: list[BaseException] = []
        self.is_enough = False
        self.has_changed = threading.Event()

    def run(self) -> None:
        try:
            while not self.is_enough:
                self.answers.append(server_in(ask(self._path)))
                if self.answers[-1] != self.answers[0]:
                    self.has_changed.set()
        except BaseException as error:
            self.failures.append(error)
            self.has_changed.set()

    def finish(self) -> list[int]:
        self.is_enough = True
        self.join(PATIENCE_S)
        assert self.failures == []
        return self.answers


def test_whoever_comes_meanwhile_is_answered_by_one_or_the_other(start: Start, path: str) -> None:
    old = start()
    assert server_in(ask(path)) == old.pid
    asking = Asking(path)
    asking.start()
    new = start()
    assert ended(old) == Ended(0, b"", "")
    assert asking.has_changed.wait(PATIENCE_S)
    answers = asking.finish()
    assert {*answers} == {old.pid, new.pid}
    assert server_in(ask(path)) == new.pid


def test_a_conversation_is_finished_by_who_has_begun_it(start: Start, path: str) -> None:
    old = start()
    with client(path) as stream:
        stream.send(b"hello\n")
        assert server_in(stream.receive_until(b"\n")) == old.pid
        new = start()
        until(lambda: server_in(ask(path)) == new.pid)
        stream.send(b"hello\n")
        assert server_in(stream.receive_until(b"\n")) == old.pid
        assert old.poll() is None
    assert ended(old) == Ended(0, b"", "")


def test_a_successor_has_a_successor(start: Start, path: str) -> None:
    servers = [start()]
    ask(path)
    for _ in range(2):
        servers.append(start())
        assert ended(servers[-2]) == Ended(0, b"", "")
        assert server_in(ask(path)) == servers[-1].pid


def test_a_successor_that_fails_changes_nothing(start: Start, path: str) -> None:
    old = start()
    ask(path)
    with blocking.connect(f"{path}.handoff", timeout=PATIENCE_S, wait=PATIENCE_S, accept_fds=1) as successor:
        successor.receive_fds().close()  # it has had the listener, and ends before it serves
    assert server_in(ask(path)) == old.pid
    assert stop(old) == Ended(0, b"", "")


def test_it_starts_again_after_it_was_killed(start: Start, path: str) -> None:
    first = start()
    ask(path)
    first.kill()
    first.wait(PATIENCE_S)
    second = start()
    assert server_in(ask(path)) == second.pid


def test_sigterm_ends_it_without_a_word(start: Start, path: str) -> None:
    server = start()
    ask(path)
    assert stop(server) == Ended(0, b"", "")
    assert os.listdir(os.path.dirname(path)) == [
        "s"
    ]  # which is stale from now on, and replaced at the next start
