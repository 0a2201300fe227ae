"""Each child's end is told once, whoever else has children."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from afunix.streams.children import Children


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def start(*argv: str) -> int:
    return os.posix_spawnp(argv[0], argv, os.environ)


def ends_of(loop: asyncio.AbstractEventLoop, *commands: tuple[str, ...]) -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []

    async def run() -> None:
        done = asyncio.Event()
        children = Children(
            loop,
            lambda pid, status: ended.append((pid, os.waitstatus_to_exitcode(status))),
            lambda: done.set() if len(ended) == len(commands) else None,
        )
        for argv in commands:
            children.add(start(*argv))
        await asyncio.wait_for(done.wait(), 20)
        children.close()

    loop.run_until_complete(run())
    return ended


def test_any_number_of_ends_are_told_once_each(loop: asyncio.AbstractEventLoop) -> None:
    ended = ends_of(loop, *[("true",)] * 20, ("false",))
    assert len({pid for pid, _ in ended}) == 21
    assert sorted(code for _, code in ended) == [0] * 20 + [1]


def test_those_that_were_there_before_are_never_ended(loop: asyncio.AbstractEventLoop) -> None:
    with subprocess.Popen(["sleep", "100"]) as other:
        assert len(ends_of(loop, ("false",), ("true",))) == 2
        assert other.poll() is None
        other.kill()


def test_what_a_process_leaves_behind_is_ours_to_end(loop: asyncio.AbstractEventLoop) -> None:
    reader, writer = os.pipe()
    orphans: list[list[int]] = []

    async def run() -> None:
        done = asyncio.Event()
        children = Children(loop, lambda pid, status: done.set())
        argv = ("sh", "-c", "setsid sleep 100 & exit 0")
        os.set_inheritable(writer, True)
        children.add(start(*argv))
        os.close(writer)
        await asyncio.wait_for(done.wait(), 20)
        orphans.append(children.orphans())
        assert children.close() == []
        orphans.append(children.orphans())

    loop.run_until_complete(run())
    assert [len(each) for each in orphans] == [1, 0]
    with open(reader, "rb") as pipe:
        assert pipe.read() == b""  # nobody has the other end any more


def test_an_orphan_that_ends_is_waited_for(loop: asyncio.AbstractEventLoop) -> None:
    async def run() -> None:
        done = asyncio.Event()
        children = Children(
            loop, lambda pid, status: None, lambda: None if children.orphans() else done.set()
        )
        children.add(start("sh", "-c", "(sleep 0.2; exit 3) & exit 0"))
        await asyncio.wait_for(done.wait(), 20)
        children.close()

    loop.run_until_complete(run())


def test_they_are_waited_for_where_their_end_was_ignored(loop: asyncio.AbstractEventLoop) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert [code for _, code in ends_of(loop, ("false",))] == [1]
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_closing_waits_for_those_that_are_left(loop: asyncio.AbstractEventLoop) -> None:
    ended: list[int] = []
    children = Children(loop, lambda pid, status: ended.append(pid))
    pid = start("true")
    children.add(pid)
    children.close()
    assert ended == [pid]
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_who_had_ended_before_anybody_listened_is_waited_for(loop: asyncio.AbstractEventLoop) -> None:
    pid = start("true")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    children = Children(loop, lambda pid, status: None, loop.stop)
    loop.call_later(20, loop.stop)
    loop.run_forever()
    children.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)
