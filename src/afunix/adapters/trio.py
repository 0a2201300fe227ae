"""An anyio stream as a `trio.abc.HalfCloseableStream`, for libraries that speak trio's interface and not anyio's.

Names and errors are trio's; what is done, and every promise, is `anyio_stream`'s. Needs trio and anyio.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

try:
    import trio
except ModuleNotFoundError as error:
    raise ImportError("afunix.adapters.trio needs trio: pip install trio", name=error.name) from error
from trio.abc import HalfCloseableStream

from .anyio import Stream

__all__ = ["TrioStream"]

_TRIOS = (
    (anyio.ClosedResourceError, trio.ClosedResourceError),
    (anyio.BrokenResourceError, trio.BrokenResourceError),
    (anyio.BusyResourceError, trio.BusyResourceError),
)

_CHUNK_BYTES = 64 * 1024


@contextmanager
def _as_trio_says() -> Iterator[None]:
    try:
        yield
    except (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.BusyResourceError) as error:
        raise next(theirs for ours, theirs in _TRIOS if isinstance(error, ours))(str(error)) from error


class TrioStream(HalfCloseableStream):
    """`stream` under trio's names; it is this object's from now on. Its other members are at `stream`."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As trio says: b"" at the end, and then every time."""
        with _as_trio_says():
            try:
                return await self.stream.receive(_CHUNK_BYTES if max_bytes is None else max_bytes)
            except anyio.EndOfStream:
                return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """All of `data`; broken off in its middle it cuts the sending, see `Stream.send`."""
        with _as_trio_says():
            await self.stream.send(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As trio says: there is room for a part of what will be sent, or sending will fail."""
        with _as_trio_says():
            await self.stream.wait_for_room()

    async def send_eof(self) -> None:
        """Half-close; harmless if repeated."""
        with _as_trio_says():
            await self.stream.send_eof()

    async def aclose(self) -> None:
        """Close; also if it is cancelled."""
        await self.stream.aclose()
