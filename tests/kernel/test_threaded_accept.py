"""Accepting by a thread: what it takes, what it does when another process is faster, and that nothing waits for it."""

from __future__ import annotations

import gc
import os
import resource
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.blocking.conftest import fork
from tests.program import PATIENCE_S, environment
from tests.sharing import Shared, shared, threads
from tests.threads import until

from afunix.kernel import threaded_accept
from afunix.kernel.threaded_accept import ThreadedAccept


@pytest.fixture
def listener(sock_dir: str) -> Iterator[Shared]:
    with shared(f"{sock_dir}/s") as listener:
        yield listener


@pytest.fixture
def accepting(listener: Shared) -> Iterator[ThreadedAccept]:
    with closing(ThreadedAccept(listener.socket.fileno(), socket.SOCK_STREAM)) as accepting:
        yield accepting


def is_ready(accepting: ThreadedAccept, seconds: float = 0) -> bool:
    return bool(select.select([accepting.ready_fd], [], [], seconds)[0])


def ask(accepting: ThreadedAccept) -> None:
    """There is a client, but it takes a moment until the thread has it."""
    with pytest.raises(BlockingIOError):
        accepting.accept()


def fetch(accepting: ThreadedAccept) -> socket.socket:
    ask(accepting)
    assert is_ready(accepting, PATIENCE_S)
    return socket.socket(fileno=accepting.accept()[0])


def test_clients_come_one_by_one_in_order(listener: Shared, accepting: ThreadedAccept) -> None:
    clients = [listener.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        assert is_ready(accepting)
        with fetch(accepting) as accepted:
            client.send(b"%d" % number)
            assert accepted.recv(9) == b"%d" % number
            assert not os.get_inheritable(accepted.fileno())
    assert not is_ready(accepting)
    assert os.get_blocking(listener.socket.fileno())


def test_where_nobody_is_no_thread_is_asked(accepting: ThreadedAccept) -> None:
    ask(accepting)
    assert (threads(), is_ready(accepting)) == ([], False)


def test_client_that_another_process_took_leaves_only_the_thread_waiting(
    listener: Shared, accepting: ThreadedAccept, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener.let_the_other_win(monkeypatch)
    listener.connect()
    ask(accepting)
    listener.until_thread_waits()
    assert not is_ready(accepting)
    ask(accepting)
    listener.connect()
    assert is_ready(accepting, PATIENCE_S)
    os.close(accepting.accept()[0])


def test_client_that_is_held_wakes_once_and_the_next_is_not_taken_for_it(
    listener: Shared, accepting: ThreadedAccept
) -> None:
    first, second = listener.connect(), listener.connect()
    ask(accepting)
    assert is_ready(accepting, PATIENCE_S)
    assert accepting.holds_client
    with socket.socket(fileno=accepting.accept()[0]) as accepted:
        first.send(b"1")
        assert accepted.recv(9) == b"1"
    assert not accepting.holds_client
    with fetch(accepting) as accepted:
        second.send(b"2")
        assert accepted.recv(9) == b"2"


def test_after_a_stop_nobody_is_taken_and_who_was_can_be_fetched(
    listener: Shared, accepting: ThreadedAccept
) -> None:
    listener.connect()
    ask(accepting)
    assert is_ready(accepting, PATIENCE_S)
    accepting.stop()
    os.close(accepting.accept()[0])
    listener.connect()
    ask(accepting)
    assert not is_ready(accepting)
    listener.accept()  # it was left to the others


def test_client_that_is_taken_after_the_stop_is_closed(
    listener: Shared, accepting: ThreadedAccept, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener.let_the_other_win(monkeypatch)
    listener.connect()
    ask(accepting)
    listener.until_thread_waits()
    accepting.stop()
    assert listener.connect().recv(1) == b""
    until(lambda: not threads())
    assert not accepting.holds_client


def test_close_does_not_wait_for_the_thread_which_closes_what_it_takes(
    listener: Shared, accepting: ThreadedAccept, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener.let_the_other_win(monkeypatch)
    listener.connect()
    ask(accepting)
    listener.until_thread_waits()
    accepting.close()
    accepting.close()
    assert threads()
    assert listener.connect().recv(1) == b""


def test_close_closes_who_was_not_fetched(listener: Shared, accepting: ThreadedAccept) -> None:
    client = listener.connect()
    ask(accepting)
    assert is_ready(accepting, PATIENCE_S)
    accepting.close()
    assert client.recv(1) == b""


def test_idle_thread_ends_with_its_owner_also_if_that_is_forgotten(listener: Shared) -> None:
    accepting = ThreadedAccept(listener.socket.fileno(), socket.SOCK_STREAM)
    listener.connect()
    fetch(accepting).close()
    assert threads()
    del accepting
    gc.collect()
    until(lambda: not threads())


def test_out_of_descriptors_is_told_and_the_client_waits(listener: Shared, accepting: ThreadedAccept) -> None:
    listener.connect()
    ready = accepting.ready_fd
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = next(fd for fd in range(1 << 20) if not os.path.exists(f"/proc/self/fd/{fd}"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        ask(accepting)
        assert select.select([ready], [], [], PATIENCE_S)[0]
        with pytest.raises(OSError, match="Too many open files"):
            accepting.accept()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fetch(accepting).close()


def test_no_room_for_a_thread_is_a_shortage(
    listener: Shared, accepting: ThreadedAccept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    listener.connect()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(OSError, match="can't start new thread"):
            accepting.accept()
    fetch(accepting).close()


def test_forked_child_accepts_by_a_thread_of_its_own(
    listener: Shared, accepting: ThreadedAccept, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener.let_the_other_win(monkeypatch)
    listener.connect()
    ask(accepting)
    listener.until_thread_waits()
    before = len(os.listdir("/proc/self/fd"))
    pid = fork()
    if pid == 0:
        status = 1
        try:
            assert len(os.listdir("/proc/self/fd")) == before - 3  # the parent's epoll, eventfd and copy
            for _ in range(2):  # one of them is the parent's, which waits longer
                listener.connect()
            fetch(accepting).close()
            accepting.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert is_ready(accepting, PATIENCE_S)
    os.close(accepting.accept()[0])


def test_clients_in_the_queue_wake_nobody_while_the_thread_is_at_it(
    listener: Shared, accepting: ThreadedAccept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threaded_accept, "_work", lambda desk: None)  # one that is not given a turn
    listener.connect()
    assert is_ready(accepting)
    ask(accepting)
    assert not is_ready(accepting)
    assert accepting._desk is not None
    accepting._desk.hand_over(OSError())
    assert is_ready(accepting)


ENDS_WITH_THE_LOCK_HELD = """
import socket, threading
from afunix.kernel.threaded_accept import ThreadedAccept
listener = socket.socket(socket.AF_UNIX)
listener.bind("")
listener.listen()
accepting = ThreadedAccept(listener.fileno(), socket.SOCK_STREAM)
accepting.ready_fd
thread = threading.Thread(target=accepting._desk.changed.acquire)  # and it ends with it
thread.start()
thread.join()
"""


def test_the_interpreters_end_waits_for_no_lock_of_a_thread_that_is_over() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS_WITH_THE_LOCK_HELD], timeout=PATIENCE_S, env=environment()
    )
    assert done.returncode == 0
