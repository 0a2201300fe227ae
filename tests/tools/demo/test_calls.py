"""Calls are made and timed; one that waits does so in a thread, and never for long."""

from __future__ import annotations

import errno
import socket
import threading
import time

from afunix.tools.demo import calls
from afunix.tools.demo.calls import Call, Waiting, attempt, limit_waiting


def test_an_attempt_has_a_value_and_its_time() -> None:
    before = time.monotonic()
    tried = attempt(lambda: 5)
    assert (tried.value, tried.error) == (5, None)
    assert before <= tried.began <= tried.ended <= time.monotonic()


def test_an_attempt_that_failed_has_the_error() -> None:
    def fail() -> None:
        raise OSError(errno.EINVAL, "no")

    tried = attempt(fail)
    assert tried.error is not None and tried.error.errno == errno.EINVAL


def test_the_kernel_ends_a_read_that_nobody_answers() -> None:
    one, other = socket.socketpair()
    with one, other:
        limit_waiting(one)
        tried = attempt(lambda: one.recv(1))
    assert tried.error is not None and tried.error.errno == errno.EAGAIN
    assert 0.9 * calls.LIMIT_S < tried.ended - tried.began < 5


def test_a_waiting_call_returns_when_it_can() -> None:
    one, other = socket.socketpair()
    with one, other:
        waiting = Waiting(Call("read(3)", lambda: one.recv(1), lambda _, data: data))
        assert not waiting.is_over(0.01)
        other.send(b"x")
        assert waiting.join().value == b"x"
    assert waiting.is_over(0)


def test_what_an_abandoned_call_opened_is_closed(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(f"{sock_dir}/s")
        listener.listen()
        waiting = Waiting(Call("accept(3)", lambda: listener.accept()[0], lambda _, sock: sock))
        client.connect(f"{sock_dir}/s")
        waiting.abandon()
        assert client.recv(1) == b""
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("demo")]
