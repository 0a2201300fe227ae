"""afunix, on asyncio's loop or on uvloop's.

    python afunix_streams.py SOCKET echo|take asyncio|uvloop

echo: what a client sends goes back to it. take: what arrives first is read, then the connection is closed.
"""

from __future__ import annotations

import importlib
import sys

import afunix


async def echo(stream: afunix.Stream) -> None:
    """All bytes of one client back to it; the server closes the stream."""
    async for data in stream:
        await stream.send(data)


async def take(stream: afunix.Stream) -> None:
    """One read, then the end."""
    try:
        await stream.receive()
    except afunix.EndOfStream:
        pass


async def main(path: str, mode: str) -> None:
    async with afunix.serve(take if mode == "take" else echo, path) as server:
        await server.run_until_signal()


if __name__ == "__main__":
    importlib.import_module(sys.argv[3]).run(main(sys.argv[1], sys.argv[2]))
