"""trio. It opens no Unix listener itself, but serves a socket that is given to it.

    python trio_streams.py SOCKET echo|take trio

echo: what a client sends goes back to it. take: what arrives first is read, then the connection is closed.
"""

from __future__ import annotations

import sys

import trio


async def echo(stream: trio.SocketStream) -> None:
    """All bytes of one client back to it; serve_listeners closes the stream."""
    async for data in stream:
        await stream.send_all(data)


async def take(stream: trio.SocketStream) -> None:
    """One read, then the end."""
    await stream.receive_some()


async def main(path: str, mode: str) -> None:
    sock = trio.socket.socket(trio.socket.AF_UNIX)
    await sock.bind(path)
    sock.listen()
    await trio.serve_listeners(take if mode == "take" else echo, [trio.SocketListener(sock)])


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
