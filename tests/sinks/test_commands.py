"""Processes for clients: one each, ended with them, ended by a stop, and none left behind."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel.channel import Channel
from afunix.kernel.spawning import Command
from afunix.model.framing import PieceEnd
from afunix.sinks import commands
from afunix.sinks.commands import Commands


class Served:
    """A sink and what it told."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *argv: str, limit: int = 100) -> None:
        self.loop = loop
        self.ended: list[tuple[int, int]] = []
        self.finished: list[int] = []
        self.failed: list[int | None] = []
        self.sink = Commands(
            Command(argv),
            loop,
            limit=limit,
            environment_of=lambda channel: {b"PATH": os.environb[b"PATH"], b"N": b"%d" % channel.connection},
            on_finished=self._note_finished,
            on_ended=lambda channel, pid, status: self.ended.append(
                (channel.connection, os.waitstatus_to_exitcode(status))
            ),
            on_failure=lambda channel, error: self.failed.append(error.errno),
        )

    def _note_finished(self, channel: Channel, end: PieceEnd) -> None:
        self.finished.append(channel.connection)

    def join(self, connection: int = 1) -> socket.socket:
        near, far = socket.socketpair()
        far.settimeout(10)
        self.sink.on_channel(Channel(near, connection))
        return far

    def wait_for_the_end(self) -> None:
        async def wait() -> None:
            gone = asyncio.Event()
            self.sink.on_progress = lambda: None if self.sink.children else gone.set()
            if self.sink.children:
                await asyncio.wait_for(gone.wait(), 10)

        self.loop.run_until_complete(wait())


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_each_client_has_a_process_of_its_own(loop: asyncio.AbstractEventLoop) -> None:
    served = Served(loop, "sh", "-c", 'read line; echo "$N $line"')
    one, two = served.join(1), served.join(2)
    with one, two:
        two.sendall(b"second\n")
        one.sendall(b"first\n")
        assert (one.recv(99), two.recv(99)) == (b"1 first\n", b"2 second\n")
        assert (one.recv(99), two.recv(99)) == (b"", b"")
        served.wait_for_the_end()
    assert sorted(served.ended) == [(1, 0), (2, 0)]
    assert sorted(served.finished) == [1, 2]
    served.sink.close()


def test_how_it_ended_is_told(loop: asyncio.AbstractEventLoop) -> None:
    served = Served(loop, "sh", "-c", "exit 3")
    with served.join():
        served.wait_for_the_end()
    assert served.ended == [(1, 3)]
    served.sink.close()


def test_a_stop_lets_commands_come_to_the_end(loop: asyncio.AbstractEventLoop) -> None:
    served = Served(loop, "sh", "-c", "cat | cat")
    with served.join() as client:
        client.sendall(b"ready")
        assert client.recv(99) == b"ready"
        client.sendall(b"last")
        served.sink.end_conversations()
        with pytest.raises(BrokenPipeError):
            client.sendall(b"late")
        assert client.recv(99) == b"last"
        assert client.recv(99) == b""
        served.wait_for_the_end()
    assert served.ended == [(1, 0)]
    assert served.sink.cut == 0
    assert served.sink.drain()
    served.sink.close()


def test_a_stop_ends_all_that_a_command_has_started_after_a_while(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "GRACE_S", 0.1)
    served = Served(loop, "sh", "-c", "echo up; sleep 100 | sleep 100")
    with served.join() as client:
        assert client.recv(99) == b"up\n"
        served.sink.end_conversations()
        served.wait_for_the_end()
        assert client.recv(99) == b""  # the second `sleep` had it open, too
    assert served.ended == [(1, -15)]
    assert served.sink.cut == 1
    assert served.sink.drain()
    served.sink.close()


def test_nobody_is_left_behind(loop: asyncio.AbstractEventLoop) -> None:
    served = Served(loop, "sh", "-c", "trap '' TERM; echo up; sleep 100")
    with served.join() as client:
        assert client.recv(99) == b"up\n"
        served.sink.end_conversations()
        served.sink.close()
        assert client.recv(99) == b""
    assert served.ended == [(1, -9)]
    assert served.finished == [1]


def test_who_begins_after_the_grace_is_told_as_well(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "GRACE_S", 0.1)
    served = Served(loop, "sleep", "100", limit=1)
    with served.join(1), served.join(2), served.join(3):
        served.sink.end_conversations()
        served.wait_for_the_end()
    assert served.ended == [(1, -15), (2, -15), (3, -15)]
    served.sink.close()


def test_who_has_become_somebody_else_is_left_behind(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(loop, "sleep", "100")

    def refuse(pid: int, number: int) -> None:
        raise PermissionError(errno.EPERM, "no")

    with served.join():
        (pid,) = served.sink.children
        with monkeypatch.context() as patch:
            patch.setattr(os, "killpg", refuse)
            patch.setattr(os, "kill", refuse)
            served.sink._tell(served.sink.children[pid])
            served.sink.close()
    assert (served.sink.left, served.sink.cut, served.finished) == ((pid,), 0, [1])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_what_a_command_leaves_behind_does_not_outlive_a_stop(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "GRACE_S", 0.1)
    served = Served(loop, "sh", "-c", "(trap '' TERM; exec sleep 100) & setsid sleep 100 & exit 0")
    with served.join() as client:
        served.wait_for_the_end()
        assert not served.sink.drain()
        served.sink.end_conversations()
        served.sink.close()
        assert client.recv(9) == b""
    assert served.sink.drain()
    assert served.ended == [(1, 0)]


def test_where_no_copy_is_lent_a_command_comes_to_the_end_too(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "can_end_input", lambda: False)
    served = Served(loop, "cat")
    with served.join() as client:
        client.sendall(b"last")
        served.sink.end_conversations()
        with pytest.raises(BrokenPipeError):
            client.sendall(b"late")
        assert client.recv(99) == b"last"
        served.wait_for_the_end()
        assert client.recv(99) == b""
    assert served.ended == [(1, 0)]
    served.sink.close()


def test_a_client_without_a_process_is_closed(loop: asyncio.AbstractEventLoop, sock_dir: str) -> None:
    path = f"{sock_dir}/run"
    with open(path, "w") as file:
        file.write("#!/bin/sh")
    os.chmod(path, 0o755)
    served = Served(loop, path)
    os.unlink(path)
    near, far = socket.socketpair()
    with far:
        far.sendall(b"hello")
        served.sink.on_channel(Channel(near, 1))
        assert served.failed == [errno.ENOENT]
    assert served.finished == [1]
    assert served.sink.bytes_unwritten() == 5
    served.sink.close()


def test_there_are_never_more_than_the_limit(loop: asyncio.AbstractEventLoop) -> None:
    served = Served(loop, "cat", limit=2)
    clients = [served.join(number) for number in range(1, 5)]
    assert (len(served.sink.children), len(served.sink.waiting)) == (2, 2)
    for client in clients:
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
    served.wait_for_the_end()
    assert [client.recv(9) for client in clients] == [b"x"] * 4
    assert sorted(served.ended) == [(number, 0) for number in range(1, 5)]
    for client in clients:
        client.close()
    served.sink.close()


def test_a_client_waits_while_there_is_no_process_to_be_had(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    served = Served(loop, "cat")
    monkeypatch.setattr(served.sink, "_on_shortage", lambda error: told.append(errno.errorcode[error.errno]))
    monkeypatch.setattr(served.sink, "_on_relief", lambda: told.append("relief"))
    with monkeypatch.context() as patch:
        patch.setattr(Command, "start", lambda *_: (_ for _ in ()).throw(OSError(errno.EAGAIN, "no")))
        client = served.join()
    with client:
        client.sendall(b"x")
        assert served.sink.bytes_unwritten() == 1
        client.shutdown(socket.SHUT_WR)

        async def answered() -> bytes:
            client.setblocking(False)
            return await loop.sock_recv(client, 9)

        assert loop.run_until_complete(asyncio.wait_for(answered(), 10)) == b"x"
        served.wait_for_the_end()
    assert told == ["EAGAIN", "relief"]
    served.sink.close()
