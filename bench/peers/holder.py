"""Holds a listener and as many connections as asked for, both ends: what a list of sockets has to show.

    python holder.py PATH CONNECTIONS

Prints `ready` when all are there, and waits for a signal.
"""

from __future__ import annotations

import signal
import socket
import sys


def main(path: str, connections: int) -> None:
    kept: list[socket.socket] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    for _ in range(connections):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        kept += [client, listener.accept()[0]]
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
