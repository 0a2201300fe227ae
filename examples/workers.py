"""One server, several processes: clients are accepted here, and handed to the workers in turn.

Run it as `python3 workers.py [PATH]`; Ctrl-C ends it. A client's descriptor is passed on (SCM_RIGHTS) before a byte
was read, so a worker serves the client itself: nothing is relayed. At the end workers finish what they have begun.
Who starts a worker again that died is not shown.
"""

import asyncio
import itertools
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack

import afunix

WORKERS = 3


async def serve_client(stream: afunix.Stream) -> None:
    try:
        async with stream:
            async for line in stream.lines():
                await stream.send(b"worker %d: %s" % (os.getpid(), line))
    except (afunix.BrokenStreamError, afunix.LineTooLongError):
        pass  # the end of this client, and of nobody else


async def work(fd: int) -> None:
    """What a worker does: serve whoever is handed over, until nobody is any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of us; the one who accepts decides
    async with afunix.attach(fd, accept_fds=1) as boss, asyncio.TaskGroup() as clients:
        while True:
            try:
                received = await boss.receive_fds(max_bytes=1)  # a byte for each client
            except afunix.EndOfStream:
                return
            with received:
                clients.create_task(serve_client(afunix.attach(received.fds[0].socket())))


async def start_worker(stack: AsyncExitStack) -> afunix.Stream:
    """A new process, and the stream on which it is handed its clients; both end with `stack`."""
    ours, its = socket.socketpair()
    with its:
        command = [sys.executable, __file__, "--work", str(its.fileno())]
        process = await asyncio.create_subprocess_exec(*command, pass_fds=[its.fileno()])
    stack.push_async_callback(process.wait)
    return await stack.enter_async_context(afunix.attach(ours))


async def main(path: str) -> None:
    async with AsyncExitStack() as stack:
        workers = itertools.cycle([await start_worker(stack) for _ in range(WORKERS)])

        async def hand_over(stream: afunix.Stream) -> None:
            client, _ = stream.detach()  # nothing was read, so nothing is left over
            with client:  # the worker has its own from then on
                await next(workers).send_fds(b".", [client])

        # One at a time: that is no limit to how many are served, and the next waits for microseconds.
        async with afunix.serve(hand_over, path, max_clients=1) as server:
            await server.run_until_signal()


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["--work", fd]:
                asyncio.run(work(int(fd)))
            case arguments:
                asyncio.run(main(*arguments or ["workers.sock"]))
    except afunix.AfunixError as error:
        sys.exit(f"{error}\nhint: {error.hint}" if error.hint else str(error))
