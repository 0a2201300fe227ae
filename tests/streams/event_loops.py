"""The event loops that a stream has to run in: asyncio's own, in debug mode, and uvloop's where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

if find_spec("uvloop"):
    import uvloop

    uvloop.new_event_loop().close()  # the first one opens a pipe that the process keeps

LOOPS = [
    "asyncio",
    pytest.param(
        "uvloop", marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed")
    ),
]


def run_in(kind: str, main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, in debug mode, bounded."""
    with asyncio.Runner(debug=True, loop_factory=_factory(kind)) as runner:
        return runner.run(_bounded(main))


async def _bounded(main: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(60):
        return await main


def _factory(kind: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if kind == "asyncio":
        return asyncio.SelectorEventLoop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def turns(count: int = 3) -> None:
    """Let the loop go round so often: whatever is ready is served."""
    for _ in range(count):
        await asyncio.sleep(0)
