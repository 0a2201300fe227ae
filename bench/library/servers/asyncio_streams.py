"""asyncio's streams (or uvloop's), as the documentation of asyncio writes a server.

    python asyncio_streams.py SOCKET echo|take asyncio|uvloop

echo: what a client sends goes back to it. take: what arrives first is read, then the connection is closed.
"""

from __future__ import annotations

import asyncio
import importlib
import sys


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All bytes of one client back to it."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One read, then the end."""
    await reader.read(65536)
    writer.close()
    await writer.wait_closed()


async def main(path: str, mode: str) -> None:
    server = await asyncio.start_unix_server(take if mode == "take" else echo, path)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    importlib.import_module(sys.argv[3]).run(main(sys.argv[1], sys.argv[2]))
