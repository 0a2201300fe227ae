"""The end of a process is a call on the loop, once, and not after it was said to stop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.program import PATIENCE_S

from afunix.streams.process_end import ProcessEnds, watch_process


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_the_end_is_told_once(process: subprocess.Popen[bytes]) -> None:
    told: list[str] = []

    async def wait_for_it() -> None:
        loop = asyncio.get_running_loop()
        came = asyncio.Event()

        def on_end() -> None:
            told.append("end")
            came.set()

        watch_process(loop, pidfd, on_end)
        await asyncio.sleep(0)
        assert told == []
        process.kill()
        await asyncio.wait_for(came.wait(), PATIENCE_S)
        await asyncio.sleep(0)

    pidfd = os.pidfd_open(process.pid)
    asyncio.run(wait_for_it())
    os.close(pidfd)
    assert told == ["end"]


def test_after_stop_nothing_is_told(process: subprocess.Popen[bytes]) -> None:
    told: list[str] = []

    async def stop_first() -> None:
        stop = watch_process(asyncio.get_running_loop(), pidfd, lambda: told.append("end"))
        stop()
        stop()
        process.kill()
        await asyncio.to_thread(process.wait)
        await asyncio.sleep(0)

    pidfd = os.pidfd_open(process.pid)
    asyncio.run(stop_first())
    os.close(pidfd)
    assert told == []


def test_the_end_of_each_of_several_is_told(process: subprocess.Popen[bytes]) -> None:
    async def wait_for_it() -> None:
        came = asyncio.Event()
        ends = ProcessEnds(asyncio.get_running_loop(), [os.getpid(), process.pid, 0], came.set)
        process.kill()
        await asyncio.wait_for(came.wait(), PATIENCE_S)
        ends.close()
        ends.close()

    asyncio.run(wait_for_it())


def test_after_close_no_end_is_told(process: subprocess.Popen[bytes]) -> None:
    told: list[str] = []

    async def close_first() -> None:
        ProcessEnds(asyncio.get_running_loop(), [process.pid], lambda: told.append("end")).close()
        process.kill()
        await asyncio.to_thread(process.wait)
        await asyncio.sleep(0)

    asyncio.run(close_first())
    assert told == []
