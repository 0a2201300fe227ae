"""A relay of a program before a server, both in the loop of the test, and what goes through it in bulk."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from tests.streams.visitors import echo

import afunix

MANY_BYTES = 5_000_000
"""More than all buffers on the way hold, and enough to be spliced."""


@contextlib.asynccontextmanager
async def between(
    path: str, upstream: str, handler: Any = echo, **options: Any
) -> AsyncIterator[afunix.Server]:
    """A relay at `path`, before a server at `upstream` with `handler`."""
    async with afunix.serve(handler, upstream), afunix.relay(path, upstream, **options) as relay:
        yield relay


async def hash_of(stream: afunix.Stream) -> tuple[int, str]:
    """How much comes until the end, and what it is."""
    found, count = hashlib.sha256(), 0
    async for chunk in stream:
        found.update(chunk)
        count += len(chunk)
    return count, found.hexdigest()


async def send_all(stream: afunix.Stream, data: bytes) -> None:
    await stream.send(data)
    await stream.send_eof()
