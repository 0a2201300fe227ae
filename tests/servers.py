"""Servers made with Python's own sockets, for clients to be tested against: what each does is a function.

`serving(path, act)` binds, listens, and calls `act(connection)` in a thread for each client, one after the other;
what `act` returns is collected in `results`. An exception in it fails the test that leaves the `with`.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.program import PATIENCE_S

Act = Callable[[socket.socket], Any]


class Server:
    """A server that is running; `result()` waits for what the next client's `act` returned."""

    def __init__(self, listener: socket.socket, act: Act) -> None:
        self._listener = listener
        self._act = act
        self._results: queue.Queue[tuple[bool, Any]] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # the test is over
            with connection:
                connection.settimeout(PATIENCE_S)
                try:
                    outcome = (True, self._act(connection))
                except Exception as error:
                    outcome = (False, error)
            self._results.put(outcome)

    def result(self) -> Any:
        is_good, value = self._results.get(timeout=PATIENCE_S)
        if not is_good:
            raise value
        return value

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RD)  # wakes accept
        self._listener.close()
        self._thread.join(PATIENCE_S)


@contextmanager
def serving(
    path: str | bytes, act: Act, kind: int = socket.SOCK_STREAM, backlog: int = 16
) -> Iterator[Server]:
    with socket.socket(socket.AF_UNIX, kind) as listener:
        listener.bind(path)
        listener.listen(backlog)
        server = Server(listener, act)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def datagram_socket(path: str | bytes) -> Iterator[socket.socket]:
    """A bound SOCK_DGRAM socket that waits for PATIENCE_S at most."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(PATIENCE_S)
        yield sock


def read_all(connection: socket.socket) -> bytes:
    """Everything until the end of file."""
    pieces = []
    while piece := connection.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def echo(connection: socket.socket) -> bytes:
    """Send everything back as it comes; the end follows the client's."""
    pieces = []
    while piece := connection.recv(1 << 16):
        pieces.append(piece)
        connection.sendall(piece)
    return b"".join(pieces)
