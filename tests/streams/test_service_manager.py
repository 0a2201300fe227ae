"""What a manager hears from a loop that is turned by hand, on a real socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from tests.loops import HandTurned

from afunix.kernel import activation
from afunix.model.errors import AddressError
from afunix.model.service_status import Crowd
from afunix.streams.service_manager import STATUS_EVERY_S, ServiceManager

Hear = Callable[[], list[str]]


class Run:
    """A run with as many clients as `connected` says."""

    def __init__(self, loop: HandTurned) -> None:
        self.connected = 0
        self.manager = ServiceManager(loop, ["/run/s"], lambda: Crowd(self.connected, 9))

    def have(self, connected: int) -> None:
        self.connected = connected
        self.manager.changed()


@pytest.fixture
def loop() -> Iterator[HandTurned]:
    with closing(HandTurned()) as made:
        yield made


@pytest.fixture
def hear(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hear]:
    """All that has been said since it was asked the last time."""
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind("")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{sock.getsockname()[1:].decode()}")

        def read() -> list[str]:
            found = []
            try:
                while True:
                    found.append(sock.recv(5000).decode())
            except BlockingIOError:
                return found

        yield read


def listening(connected: int) -> str:
    return f"STATUS=listening on '/run/s'; {connected} clients connected, 9 accepted so far"


@pytest.fixture
def run(hear: Hear, loop: HandTurned) -> Iterator[Run]:
    """One that is ready, and has been for a while."""
    made = Run(loop)
    made.manager.ready()
    assert hear() == ["READY=1", listening(0)]
    loop.advance(60)
    yield made
    made.manager.close()


def test_change_is_told_at_once(run: Run, loop: HandTurned, hear: Hear) -> None:
    run.have(3)
    loop.turn(2)
    assert hear() == [listening(3)]


def test_many_changes_are_told_once_a_second_and_the_last_one_too(
    run: Run, loop: HandTurned, hear: Hear
) -> None:
    for connected in range(2, 50):
        run.have(connected)
        loop.advance(STATUS_EVERY_S / 40)
    said = hear()
    loop.advance(STATUS_EVERY_S)
    said += hear()
    assert len(said) == 3
    assert (said[0], said[-1]) == (listening(2), listening(49))


def test_where_nothing_changes_nothing_is_said(run: Run, loop: HandTurned, hear: Hear) -> None:
    run.manager.changed()
    loop.advance(60)
    assert hear() == []


def test_stop_is_told_once_with_who_is_still_there(run: Run, loop: HandTurned, hear: Hear) -> None:
    run.connected = 2
    run.manager.stopping("SIGTERM")
    run.manager.stopping("--timeout")
    loop.turn(2)
    assert hear() == ["STOPPING=1", "STATUS=stopping (SIGTERM); 2 clients connected, 9 accepted so far"]


def test_after_its_end_nothing_is_said(run: Run, loop: HandTurned, hear: Hear) -> None:
    run.have(3)
    run.manager.close()
    run.have(4)
    loop.advance(60)
    assert hear() == []


def test_before_it_is_ready_there_is_no_status(hear: Hear, loop: HandTurned) -> None:
    run = Run(loop)
    run.have(3)
    loop.advance(60)
    assert hear() == []
    run.manager.close()


def test_stop_before_it_is_ready_is_told_without_a_status(hear: Hear, loop: HandTurned) -> None:
    Run(loop).manager.stopping("SIGTERM")
    loop.advance(60)
    assert hear() == ["STOPPING=1"]


def test_status_that_did_not_get_through_is_told_with_the_next_change(
    run: Run, loop: HandTurned, hear: Hear
) -> None:
    while activation.notify("X_FULL=1", patience=0):
        pass
    run.have(3)
    loop.turn(2)
    assert listening(3) not in hear()
    run.have(3)
    loop.advance(STATUS_EVERY_S)
    assert hear() == [listening(3)]


def test_watched_run_says_that_it_lives_until_its_end(
    hear: Hear, loop: HandTurned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    run = Run(loop)
    loop.advance(60)
    assert hear() == []
    run.manager.ready()
    run.manager.stopping("SIGTERM")
    loop.advance(10)
    assert hear().count("WATCHDOG=1") == 2
    run.manager.close()
    loop.advance(60)
    assert hear() == []


def test_watchdog_time_that_is_none_is_an_error(
    hear: Hear, loop: HandTurned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    with pytest.raises(AddressError, match="WATCHDOG_USEC is 'soon', expected a number of microseconds"):
        Run(loop)


def test_without_a_manager_no_timer_is_set(loop: HandTurned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    run = Run(loop)
    assert not run.manager.is_there
    run.manager.ready()
    run.have(3)
    run.manager.stopping("SIGTERM")
    assert run.manager._timer is None
