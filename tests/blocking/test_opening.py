"""How a blocking stream begins: connecting with a deadline, taking a socket over, two ends at once."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.program import PATIENCE_S
from tests.servers import echo, serving
from tests.threads import Running

import afunix
from afunix import Address, Rules, blocking
from afunix.events import Event
from afunix.model.errors import NoSuchSocketError, PeerMismatchError, TimedOutError, WrongTypeError


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@pytest.mark.parametrize("written", [str, os.fsencode, Path, Address.parse, lambda path: f"unix:{path}"])
def test_connects_to_an_address_however_it_is_written(path: str, written: Callable[[str], Any]) -> None:
    with serving(path, echo), blocking.connect(written(path)) as stream:
        stream.send(b"hello")
        stream.send_eof()
        assert b"".join(stream) == b"hello"
        assert stream.peer_address == Address.parse(path)


def test_nobody_there_is_told_and_waited_for_on_demand(path: str) -> None:
    with pytest.raises(NoSuchSocketError):
        blocking.connect(path)
    connecting = Running(lambda: blocking.connect(path, wait=PATIENCE_S)).until_waiting()
    with blocking.listen(path) as listener, listener.accept(PATIENCE_S), connecting.result():
        pass


def test_a_full_backlog_is_waited_for_until_the_deadline(path: str) -> None:
    with blocking.listen(path, backlog=0) as listener, blocking.connect(path):
        with pytest.raises(TimedOutError, match="backlog"):
            blocking.connect(path, timeout=0.01)
        connecting = Running(lambda: blocking.connect(path, timeout=PATIENCE_S))
        for _ in range(2):
            listener.accept(PATIENCE_S).close()
        connecting.result().close()


def test_the_timeout_is_also_the_streams_own(path: str) -> None:
    with blocking.listen(path), blocking.connect(path, timeout=0.01) as stream:
        assert stream.timeout == 0.01
        with pytest.raises(TimedOutError):
            stream.receive()


@pytest.mark.parametrize("who", ["me", f"user:{os.geteuid()}", Rules("allow me")])
def test_a_server_that_is_who_it_must_be(path: str, who: str | Rules) -> None:
    with blocking.listen(path), blocking.connect(path, require=who):
        pass


def test_a_server_that_is_somebody_else_gets_no_byte(path: str) -> None:
    with blocking.listen(path) as listener:
        with pytest.raises(PeerMismatchError, match="must be"):
            blocking.connect(path, require=f"user:{os.geteuid() + 1}")
        with listener.accept(PATIENCE_S) as stream:
            assert list(stream) == []


def test_a_server_of_another_type_is_refused(path: str) -> None:
    with serving(path, echo, kind=socket.SOCK_SEQPACKET), pytest.raises(WrongTypeError):
        blocking.connect(path)


def test_a_connected_socket_that_was_inherited_keeps_its_flags() -> None:
    near, far = socket.socketpair()
    with far, blocking.connect(f"fd:{near.detach()}") as stream:
        assert os.get_blocking(stream.fileno())
        stream.send(b"x")
        assert far.recv(1) == b"x"


@pytest.mark.parametrize(
    "options", [{"timeout": -1}, {"accept_fds": 254}, {"send_timeout": float("nan")}, {"require": 7}]
)
def test_what_cannot_be_meant_is_refused(path: str, options: dict[str, Any]) -> None:
    with blocking.listen(path), pytest.raises((ValueError, TypeError)):
        blocking.connect(path, **options)


def test_a_socket_or_its_number_is_taken_over() -> None:
    near, far = socket.socketpair()
    with blocking.attach(near) as stream, blocking.attach(far.detach()) as other:
        assert near.fileno() == -1
        stream.send(b"hello")
        assert other.receive() == b"hello"


@pytest.mark.parametrize(
    "make",
    [
        lambda: socket.socket(socket.AF_INET),
        lambda: socket.socket(socket.AF_UNIX),
        lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        lambda: open(os.devnull),
    ],
)
@pytest.mark.parametrize("given", [lambda it: it, lambda it: it.fileno()])
def test_what_is_refused_stays_open_and_its_owners(
    make: Callable[[], Any], given: Callable[[Any], Any]
) -> None:
    with closing(make()) as it:
        with pytest.raises((afunix.AfunixError, TypeError)):
            blocking.attach(given(it))
        os.fstat(it.fileno())


@pytest.mark.parametrize(
    "options", [{"unread": "text"}, {"timeout": -1}, {"accept_fds": -1}, {"send_timeout": "1"}]
)
def test_a_socket_stays_its_owners_when_an_argument_is_refused(options: dict[str, Any]) -> None:
    near, far = socket.socketpair()
    with near, far:
        with pytest.raises((ValueError, TypeError)):
            blocking.attach(near, **options)
        near.send(b"still mine")
        assert far.recv(100) == b"still mine"


def test_a_pair_is_connected_with_itself() -> None:
    one, other = blocking.pair(timeout=PATIENCE_S)
    with one, other:
        one.send(b"there")
        assert other.receive() == b"there"
        assert one.timeout == other.timeout == PATIENCE_S


def test_a_socket_that_was_inherited_and_is_refused_stays_its_owners() -> None:
    for kind, require in ((socket.SOCK_SEQPACKET, None), (socket.SOCK_STREAM, f"user:{os.getuid() + 1}")):
        near, far = socket.socketpair(socket.AF_UNIX, kind)
        with near, far:
            with pytest.raises(afunix.AfunixError):
                blocking.connect(f"fd:{near.fileno()}", require=require)
            far.send(b"x")
            assert near.recv(9) == b"x"


# observers


def test_an_observer_is_told_of_both_ends_and_may_fail(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    failed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: failed.append(told.exc_value.args[0]))

    def observe(event: Event) -> None:
        seen.append(type(event).__name__)
        raise LookupError(type(event).__name__)

    path = f"{sock_dir}/o"
    with blocking.listen(path, observer=observe) as listener:
        with blocking.connect(path, observer=observe) as client, listener.accept() as served:
            client.send(b"ping")
            assert served.receive() == b"ping"
            sock, unread = client.detach()
        with blocking.attach(sock, unread=unread, observer=observe):
            pass
    assert failed == seen
    assert {"Created", "Bound", "Listening", "Connected", "Accepted", "BytesRead", "BytesWritten"} <= {*seen}
    assert seen.count("Closed") == 3  # what was detached was not closed
    assert seen[-2:] == ["Unlinked", "Closed"]


def test_what_is_put_back_must_be_bytes() -> None:
    near, far = socket.socketpair()
    with near, far:
        with pytest.raises(TypeError, match="unread is str, expected bytes"):
            blocking.attach(near, unread="x")  # type: ignore[arg-type]
        assert near.fileno() >= 0
