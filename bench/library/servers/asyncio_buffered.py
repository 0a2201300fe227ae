"""asyncio's BufferedProtocol: callbacks that receive into a buffer of one's own.

    python asyncio_buffered.py SOCKET echo|take asyncio|uvloop

echo: what a client sends goes back to it, without back-pressure; as `write` may keep what it is given, that is
a copy. take: what arrives first is read, then the connection is closed. One buffer serves all connections: the
loop receives into it and tells at once.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import cast


class Echo(asyncio.BufferedProtocol):
    """All bytes of one client back to it."""

    buffer = memoryview(bytearray(65536))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(bytes(self.buffer[:nbytes]))


class Take(Echo):
    """One read, then the end."""

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.close()


async def main(path: str, mode: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(Take if mode == "take" else Echo, path)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    importlib.import_module(sys.argv[3]).run(main(sys.argv[1], sys.argv[2]))
