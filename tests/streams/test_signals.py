"""Signals reach the loop as calls; one that was ignored at start stays ignored."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from afunix.streams.signals import signals_watched, watch_signals


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


def test_afterwards_the_handlers_are_those_that_were_there(usr1: signal.Signals) -> None:
    def mine(*args: object) -> None:
        raise AssertionError

    signal.signal(usr1, mine)

    async def watch() -> None:
        came: list[int] = []
        with signals_watched(asyncio.get_running_loop(), [usr1, usr1], came.append):
            os.kill(os.getpid(), usr1)
            while not came:
                await asyncio.sleep(0.001)
        assert came == [usr1]
        assert signal.getsignal(usr1) is mine

    asyncio.run(watch())


def test_a_signal_that_was_ignored_is_ignored_afterwards(usr1: signal.Signals) -> None:
    signal.signal(usr1, signal.SIG_IGN)

    async def watch() -> None:
        with signals_watched(asyncio.get_running_loop(), [usr1], lambda number: None):
            assert signal.getsignal(usr1) is signal.SIG_IGN
        assert signal.getsignal(usr1) is signal.SIG_IGN

    asyncio.run(watch())


def test_one_that_cannot_be_caught_leaves_the_others_as_they_were(usr1: signal.Signals) -> None:
    before = signal.getsignal(usr1)

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        with (
            pytest.raises(RuntimeError, match="cannot be caught"),
            signals_watched(loop, [usr1, signal.SIGKILL], lambda number: None),
        ):
            raise AssertionError
        assert signal.getsignal(usr1) is before

    asyncio.run(watch())
