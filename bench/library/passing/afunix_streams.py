"""Passing a descriptor with afunix: send, receive, close, over a pair in one process.

    python afunix_streams.py COUNT asyncio|uvloop

Prints the CPU seconds of COUNT passes after as many as warm-up.
"""

from __future__ import annotations

import importlib
import os
import sys
import time

import afunix


async def run(a: afunix.Stream, b: afunix.Stream, passed: int, count: int) -> None:
    for _ in range(count):
        await a.send_fds(b"x", [passed])
        with await b.receive_fds(1, max_fds=1):
            pass  # what nobody takes is closed here


async def main(count: int) -> None:
    a, b = afunix.pair(accept_fds=1)
    with open(os.devnull, "rb") as null:
        async with a, b:
            await run(a, b, null.fileno(), count)
            before = time.process_time()
            await run(a, b, null.fileno(), count)
            print(time.process_time() - before)


if __name__ == "__main__":
    importlib.import_module(sys.argv[2]).run(main(int(sys.argv[1])))
