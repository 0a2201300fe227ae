"""The peer that Python brings along: a server on asyncio's streams, as its documentation writes one.

    python asyncio_streams.py SOCKET collect|echo

collect: what clients send goes to STDOUT as it comes. echo: it goes back to its client.
"""

from __future__ import annotations

import asyncio
import os
import sys

READ_BYTES = 65536


async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client's bytes to STDOUT. The write may block, which is what holds the clients back."""
    while data := await reader.read(READ_BYTES):
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
    writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client's bytes back to it."""
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main(path: str, mode: str) -> None:
    server = await asyncio.start_unix_server(echo if mode == "echo" else collect, path, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
