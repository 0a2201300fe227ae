"""TCP servers and clients for tests: what `servers` is for Unix sockets. Ports are the kernel's choice.

`free_port()` is one that nobody had a moment ago: for those who have to be told a port before they listen on it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.program import PATIENCE_S
from tests.servers import Act, Server

LOOPBACK = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)


@contextmanager
def serving_tcp(act: Act, host: str = LOOPBACK, port: int = 0) -> Iterator[tuple[Server, int]]:
    """A running server and its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(16)
        server = Server(listener, act)
        try:
            yield server, listener.getsockname()[1]
        finally:
            server.stop()


def free_port(host: str = LOOPBACK) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def dialled(port: int, host: str = LOOPBACK) -> Iterator[socket.socket]:
    """A client that waits for PATIENCE_S at most."""
    with socket.create_connection((host, port), timeout=PATIENCE_S) as sock:
        yield sock


@contextmanager
def dialled_unix(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect(path)
        yield sock


def reset(sock: socket.socket) -> None:
    """Close a TCP connection with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


def has_ipv6() -> bool:
    try:
        free_port("::1")
    except OSError:
        return False
    return True
