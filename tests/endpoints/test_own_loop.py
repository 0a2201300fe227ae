"""A loop in a thread of its own: answers, limits, signals, and its end."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator

import pytest
from tests.program import PATIENCE_S

from afunix.endpoints.own_loop import Interrupted, OwnLoop
from afunix.model.errors import AfunixError


@pytest.fixture
def own() -> Iterator[OwnLoop]:
    own = OwnLoop("test")
    yield own
    own.close()


async def answer() -> int:
    return threading.get_ident()


async def never() -> None:
    await asyncio.Event().wait()


def test_coroutine_runs_in_its_thread(own: OwnLoop) -> None:
    assert own.wait(answer()) != threading.get_ident()


def test_error_of_a_coroutine_is_raised_here(own: OwnLoop) -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        own.wait(fail())


def test_wait_has_a_limit(own: OwnLoop) -> None:
    with pytest.raises(TimeoutError):
        own.wait(never(), 0.1)


def test_pending_stop_signal_ends_a_wait(own: OwnLoop) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted):
            own.wait(never())
        assert signal.sigtimedwait([signal.SIGTERM], 0) is not None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_signal_that_is_ignored_ends_no_wait(own: OwnLoop) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        signal.raise_signal(signal.SIGHUP)
        assert own.wait(asyncio.sleep(0.2, "done")) == "done"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGHUP, before)


def test_close_cancels_what_is_under_way(own: OwnLoop) -> None:
    cancelled = threading.Event()

    async def wait_for_the_end() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    asyncio.run_coroutine_threadsafe(wait_for_the_end(), own.loop)
    own.wait(answer())
    own.close()
    own.close()
    assert cancelled.wait(PATIENCE_S)


def test_closed_loop_takes_nothing(own: OwnLoop) -> None:
    own.close()
    assert not own.call(print)
    with pytest.raises(AfunixError):
        own.wait(answer())
