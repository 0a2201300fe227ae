"""anyio on its asyncio backend, as its documentation writes a server.

    python anyio_streams.py SOCKET echo|take asyncio

echo: what a client sends goes back to it. take: what arrives first is read, then the connection is closed.
"""

from __future__ import annotations

import sys

import anyio
from anyio.abc import SocketStream


async def echo(client: SocketStream) -> None:
    """All bytes of one client back to it."""
    async with client:
        async for data in client:
            await client.send(data)


async def take(client: SocketStream) -> None:
    """One read, then the end."""
    async with client:
        try:
            await client.receive()
        except anyio.EndOfStream:
            pass


async def main(path: str, mode: str) -> None:
    listener = await anyio.create_unix_listener(path)
    await listener.serve(take if mode == "take" else echo)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], backend=sys.argv[3])
