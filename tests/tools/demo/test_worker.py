"""A process that makes calls as it is told: its answers, and that it never outlives who told it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from afunix.tools.demo import worker
from afunix.tools.demo.calls import NotAnswered
from afunix.tools.demo.worker import Worker


@pytest.fixture
def ready() -> Iterator[Worker]:
    made = Worker()
    made.wait_until_ready()
    yield made
    made.end()


def test_it_is_another_process_whose_numbers_begin_at_3(ready: Worker) -> None:
    assert ready.ask("getpid") == ready.pid != os.getpid()
    assert [ready.ask("socket"), ready.ask("socket")] == [3, 4]


def test_what_a_call_fails_with_is_raised(ready: Worker) -> None:
    with pytest.raises(FileNotFoundError):
        ready.ask("open", "/none")
    assert ready.ask("getpid") == ready.pid


def test_after_fork_the_new_process_obeys(ready: Worker) -> None:
    assert ready.ask("fork") == ready.ask("getpid") != ready.pid


def test_a_process_that_is_gone_does_not_answer(ready: Worker) -> None:
    os.kill(ready.pid, 9)
    with pytest.raises(NotAnswered, match="the process is gone"):
        ready.ask("getpid")


def test_a_process_that_does_not_answer_is_not_waited_for_and_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PROGRAM", "import os, signal; os.fork(); signal.pause()")
    monkeypatch.setattr(worker, "_ANSWER_S", 0.2)
    made = Worker()
    with pytest.raises(NotAnswered, match=r"has not answered for 0\.2 s"):
        made.wait_until_ready()
    made.end()
    with pytest.raises(ProcessLookupError):
        os.kill(made.pid, 0)
