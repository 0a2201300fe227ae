"""How fast a connection of one family is, measured in a fraction of a second: a round trip, and a throughput.

Both ends are in one thread, so what is measured is the kernel's way from a send to a receive, without the switching
between processes, which is the same for every family. Medians, for a machine has other things to do.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socket import AF_UNIX
from statistics import median

from .calls import limit_waiting

_ROUND_TRIPS = 500
_ROUND_TRIPS_S = 0.1
_RUNS = 5
_RUN_S = 0.03
_CHUNK_BYTES = 32 * 1024
"""Fits into what every family buffers by default."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one byte there and one back, and of many one way."""

    round_trip_s: float
    bytes_per_s: float


def measure(family: int, address: str | tuple[str, int]) -> Speed:
    """The speed of a connection to `address`, made for this: at most 0.3 s (1 s for a call that hangs).

    Raises:
        OSError: no such connection can be made, or a call on it hung.
    """
    with _connected(family, address) as (one, other):
        return Speed(_round_trip_s(one, other), _bytes_per_s(one, other))


@contextmanager
def _connected(family: int, address: str | tuple[str, int]) -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.socket(family) as listener, socket.socket(family) as one:
        listener.bind(address)
        listener.listen(1)
        for sock in (listener, one):
            limit_waiting(sock)
        one.connect(address if family == AF_UNIX else listener.getsockname())
        with listener.accept()[0] as other:
            limit_waiting(other)
            yield one, other


def _round_trip_s(one: socket.socket, other: socket.socket) -> float:
    times: list[float] = []
    end = time.perf_counter() + _ROUND_TRIPS_S
    while len(times) < _ROUND_TRIPS and (began := time.perf_counter()) < end:
        one.send(b"?")
        other.recv(1)
        other.send(b"!")
        one.recv(1)
        times.append(time.perf_counter() - began)
    return median(times)


def _bytes_per_s(one: socket.socket, other: socket.socket) -> float:
    return median(_run(one, other) for _ in range(_RUNS))


def _run(one: socket.socket, other: socket.socket) -> float:
    chunk, buffer = bytes(_CHUNK_BYTES), bytearray(_CHUNK_BYTES)
    began = now = time.perf_counter()
    moved = 0
    while now - began < _RUN_S:
        left = one.send(chunk)
        moved += left
        while left:
            left -= other.recv_into(buffer)
        now = time.perf_counter()
    return moved / (now - began)
