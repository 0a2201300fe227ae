"""What a client's command is told, and what is told of it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel.channel import Channel
from afunix.kernel.spawning import Command
from afunix.model import events
from afunix.model.address import Address
from afunix.model.client_environment import Dialect
from afunix.tools import client_commands
from afunix.tools.client_commands import ClientCommands


class Serving:
    """A sink on a loop, what it told, and how often it held the acceptor and let it go."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *argv: str, dialect: Dialect | None = None) -> None:
        self.loop = loop
        self.seen: list[events.Event] = []
        self.alerts: list[events.Event] = []
        self.gates: list[str] = []
        self.sink = ClientCommands(
            Command(argv),
            loop,
            limit=100,
            dialect=dialect,
            on_finished=lambda channel, end: None,
            hold=lambda: self.gates.append("held"),
            let_go=lambda: self.gates.append("let go"),
            observer=self.seen.append,
            alerts=self.alerts.append,
        )

    def join(self, connection: int = 1, name: str | bytes = "") -> socket.socket:
        near, far = socket.socketpair()
        far.settimeout(10)
        channel = Channel(near, connection)
        channel.names = Address.parse("/run/app.sock"), name
        self.sink.on_channel(channel)
        return far

    def wait_for(self, *kinds: type[events.Event]) -> None:
        async def wait() -> None:
            while not {*kinds} <= {type(event) for event in (*self.seen, *self.alerts)}:
                await asyncio.sleep(0)

        self.loop.run_until_complete(asyncio.wait_for(wait(), 10))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def said(far: socket.socket) -> dict[str, str]:
    with far:
        text = b"".join(iter(lambda: far.recv(1 << 16), b"")).decode()
    return dict(entry.split("=", 1) for entry in text.split("\0") if entry)


def test_it_is_told_who_is_there_and_where(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("KEPT", "yes")
    serving = Serving(loop, "env", "-0")
    found = said(serving.join(7, b"\0na\xffme"))
    assert (found["AFUNIX_CONNECTION"], found["AFUNIX_LOCAL_ADDRESS"]) == ("7", "/run/app.sock")
    assert found["AFUNIX_PEER_ADDRESS"] == "unix-abstract:na%FFme"
    assert found["AFUNIX_PEER_PID"] == str(os.getpid())
    assert (found["KEPT"], "LISTEN_FDS" in found) == ("yes", False)
    serving.sink.close()


def test_connections_of_a_user_are_counted_until_they_have_ended(loop: asyncio.AbstractEventLoop) -> None:
    serving = Serving(loop, "sh", "-c", "echo $IPCCONNNUM; cat", dialect=Dialect.S6)
    one, two = serving.join(1), serving.join(2)
    assert (one.recv(9), two.recv(9)) == (b"1\n", b"2\n")
    one.close()
    serving.wait_for(events.CommandEnded)
    with serving.join(3) as three:
        assert three.recv(9) == b"2\n"
    two.close()
    serving.sink.close()


def test_beginning_and_end_are_told(loop: asyncio.AbstractEventLoop) -> None:
    serving = Serving(loop, "sh", "-c", "exit 3")
    serving.join().close()
    serving.wait_for(events.CommandEnded)
    started, closed, ended = serving.seen
    assert isinstance(started, events.CommandStarted) and isinstance(ended, events.CommandEnded)
    assert type(closed) is events.Closed
    assert (started.pid, ended.how) == (ended.pid, "exit status 3")
    assert serving.alerts == []
    serving.sink.close()


def failing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: Command, fd: int, environment: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Command, "start", start)


def test_a_command_that_is_gone_is_told(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Serving(loop, "cat")
    failing(errno.ENOENT, monkeypatch)
    with serving.join() as client:
        assert client.recv(9) == b""
    (failed,) = serving.alerts
    assert isinstance(failed, events.CommandFailed)
    assert (failed.errno, failed.reason.endswith("cat': No such file or directory")) == (errno.ENOENT, True)
    serving.sink.close()


def test_a_shortage_that_comes_and_goes_is_told_once(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_commands, "CALM_S", 0.05)
    serving = Serving(loop, "cat")
    for _ in range(3):
        serving.sink._on_no_process(OSError(errno.EAGAIN, "no"))
        serving.sink._on_process()
    (paused,) = serving.alerts
    assert isinstance(paused, events.AcceptPaused)
    assert (paused.errno, paused.reason) == (errno.EAGAIN, "no process can be started: no (EAGAIN)")
    assert serving.gates == ["held", "let go"] * 3
    serving.wait_for(events.AcceptResumed)
    serving.sink.close()


def test_nothing_is_told_after_the_end(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_commands, "CALM_S", 0.01)
    serving = Serving(loop, "cat")
    serving.sink._on_no_process(OSError(errno.EAGAIN, "no"))
    serving.sink._on_process()
    serving.sink.close()
    loop.run_until_complete(asyncio.sleep(0.03))
    assert [type(event) for event in serving.alerts] == [events.AcceptPaused]
