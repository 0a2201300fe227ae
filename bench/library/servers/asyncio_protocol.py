"""asyncio's Protocol (or uvloop's), as the documentation of asyncio writes a server.

    python asyncio_protocol.py SOCKET echo|take asyncio|uvloop

echo: what a client sends goes back to it, without back-pressure. take: what arrives first is read, then the
connection is closed.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import cast


class Echo(asyncio.Protocol):
    """All bytes of one client back to it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Take(Echo):
    """One read, then the end."""

    def data_received(self, data: bytes) -> None:
        self.transport.close()


async def main(path: str, mode: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(Take if mode == "take" else Echo, path)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    importlib.import_module(sys.argv[3]).run(main(sys.argv[1], sys.argv[2]))
