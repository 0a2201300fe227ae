"""A thread for each connection, and blocking calls.

    python threads.py SOCKET echo|take threads

echo: what a client sends goes back to it. take: what arrives first is read, then the connection is closed.
"""

from __future__ import annotations

import socket
import sys
import threading


def echo(client: socket.socket) -> None:
    """All bytes of one client back to it."""
    with client:
        while data := client.recv(65536):
            client.sendall(data)


def take(client: socket.socket) -> None:
    """One read, then the end."""
    with client:
        client.recv(65536)


def main(path: str, mode: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            client, _ = listener.accept()
            threading.Thread(target=take if mode == "take" else echo, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
