"""Signals reach the loop as calls; one that was ignored at start stays ignored."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from afunix.streams.signals import watch_signals


@pytest.fixture
def usr1() -> Iterator[signal.Signals]:
    before = signal.getsignal(signal.SIGUSR1)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_is_a_call_on_the_loop(usr1: signal.Signals) -> None:
    seen: list[int] = []

    async def wait_for_it() -> None:
        loop = asyncio.get_running_loop()
        came = asyncio.Event()

        def on_signal(number: signal.Signals) -> None:
            seen.append(number)
            came.set()

        watch_signals(loop, [usr1], on_signal)
        os.kill(os.getpid(), usr1)
        await asyncio.wait_for(came.wait(), 10)

    asyncio.run(wait_for_it())
    assert seen == [signal.SIGUSR1]


def test_a_signal_that_was_ignored_stays_ignored(usr1: signal.Signals) -> None:
    signal.signal(usr1, signal.SIG_IGN)

    async def watch() -> None:
        watch_signals(asyncio.get_running_loop(), [usr1], lambda number: None)
        assert signal.getsignal(usr1) is signal.SIG_IGN

    asyncio.run(watch())
