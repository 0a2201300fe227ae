"""Every test of an adapter for anyio runs on each of its backends; pytest's plugin for that comes with anyio."""

from __future__ import annotations

from typing import Any

import pytest
import uvloop

uvloop.new_event_loop().close()  # libuv keeps a pipe for signals from its first loop on; that is no leak of a test's


@pytest.fixture(
    params=[("asyncio", {"debug": True}), ("asyncio", {"use_uvloop": True}), ("trio", {})],
    ids=["asyncio", "uvloop", "trio"],
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """What runs the test."""
    return request.param
