"""A server that is replaced without a client noticing: its successor is handed the listening socket itself.

Run it as `python3 handoff.py [PATH]`, talk to it with `afunix connect PATH`, then run it again, perhaps a newer
version: the new one serves whoever comes from now on, the old one ends when its last conversation has. The socket is
never closed in between, so nobody is refused, and nobody who waits in its queue is lost.
"""

import asyncio
import os
import signal
import socket
import sys

import afunix


async def serve_client(stream: afunix.Stream) -> None:
    async for line in stream.lines():
        await stream.send(b"server %d: %s" % (os.getpid(), line))


async def find_predecessor(path: str) -> afunix.Stream | None:
    try:
        return await afunix.connect(path, timeout=5, require="me", accept_fds=1)
    except (afunix.NoSuchSocketError, afunix.NobodyListensError):
        return None


def open_listener(path: str) -> socket.socket:
    listener = afunix.bind_socket(path, keep=True)  # the path is not ours alone, so it stays
    listener.setblocking(False)  # two processes may accept on it, and the client may be the other's
    return listener


async def main(path: str) -> None:
    predecessor = await find_predecessor(f"{path}.handoff")
    if predecessor is None:
        listener = open_listener(path)
    else:
        with await predecessor.receive_fds() as received:
            listener = received.fds[0].socket()

    async def hand_over(successor: afunix.Stream) -> None:
        await successor.send_fds(b"the listener\n", [listener])
        await successor.receive_until(b"I serve\n")  # if it fails before that, we go on as if nothing was
        signal.raise_signal(signal.SIGTERM)  # the rest is a stop like any other

    async with (
        afunix.serve(serve_client, listener) as server,
        afunix.serve(hand_over, f"{path}.handoff", replace=True, rules=afunix.Rules("allow me")),
    ):
        if predecessor is not None:
            async with predecessor:
                await predecessor.send(b"I serve\n")
        await server.run_until_signal(drain=3600)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "handoff.sock"))
    except afunix.AfunixError as error:
        sys.exit(f"{error}\nhint: {error.hint}" if error.hint else str(error))
