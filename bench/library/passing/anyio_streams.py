"""Passing a descriptor with anyio: send, receive, close, over a pair in one process.

    python anyio_streams.py COUNT asyncio

Prints the CPU seconds of COUNT passes after as many as warm-up.
"""

from __future__ import annotations

import os
import socket
import sys
import time

import anyio
from anyio.abc import UNIXSocketStream


async def run(a: UNIXSocketStream, b: UNIXSocketStream, passed: int, count: int) -> None:
    for _ in range(count):
        await a.send_fds(b"x", [passed])
        _, received = await b.receive_fds(1, 1)
        os.close(received[0])


async def main(count: int) -> None:
    one, other = socket.socketpair()
    with open(os.devnull, "rb") as null:
        async with (
            await UNIXSocketStream.from_socket(one) as a,
            await UNIXSocketStream.from_socket(other) as b,
        ):
            await run(a, b, null.fileno(), count)
            before = time.process_time()
            await run(a, b, null.fileno(), count)
            print(time.process_time() - before)


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]), backend=sys.argv[2])
