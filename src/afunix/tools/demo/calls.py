"""One call of an experiment: really made, with its time; by a thread where it shall be seen waiting.

No call hangs: `limit_waiting` gives a socket the kernel's own limits (SO_RCVTIMEO, SO_SNDTIMEO: EAGAIN after that),
so that a thread, too, comes to its end by itself. How a call is written down is `script`'s business.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from errno import EAGAIN, EINPROGRESS
from socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET
from typing import Generic, TypeVar

T = TypeVar("T")
V = TypeVar("V")

LIMIT_S = 1.0
"""As long as a call may wait, for the kernel gives up then."""

LIMIT = struct.pack("@ll", int(LIMIT_S), int(LIMIT_S % 1 * 1e6))
"""The same as a struct timeval."""

STARTING = threading.Lock()
"""Held while a process is started, for it has all that we have until execve(2) closes that; and by whoever closes."""


def limit_waiting(sock: socket.socket) -> None:
    """No call on `sock` waits longer than LIMIT_S. It is the socket's own: what it accepts is limited anew."""
    sock.setsockopt(SOL_SOCKET, SO_RCVTIMEO, LIMIT)
    sock.setsockopt(SOL_SOCKET, SO_SNDTIMEO, LIMIT)


class NotAnswered(OSError):
    """A call of which nobody knows how it ended: `strerror` says why. That is no result of the kernel's."""


def is_limit(tried: Attempt[T]) -> bool:
    """Whether the call failed because LIMIT_S was over: a connect over TCP says EINPROGRESS then, others EAGAIN."""
    number = tried.error.errno if tried.error is not None else None
    return number in (EAGAIN, EINPROGRESS) and tried.ended - tried.began >= 0.9 * LIMIT_S


@dataclass(frozen=True, slots=True)
class Call(Generic[T, V]):
    """`text` as `accept(3)`; `function` makes it. What it returned is written by `shown` (` = 5`), and `done`, which
    is told the number of the step, makes of it what the experiment goes on with.
    """

    text: str
    function: Callable[[], T]
    done: Callable[[int, T], V]
    shown: Callable[[T], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """A call that has ended, from `began` to `ended` on time.monotonic; either `value` or `error`."""

    began: float
    ended: float
    value: T | None
    error: OSError | None


def attempt(function: Callable[[], T]) -> Attempt[T]:
    """Make the call, now."""
    value, error = None, None
    began = time.monotonic()
    try:
        value = function()
    except OSError as failure:
        error = failure
    return Attempt(began, time.monotonic(), value, error)


class Waiting(Generic[T, V]):
    """A call that a thread is making. `join` or `abandon` ends it; neither takes longer than the kernel's limit."""

    def __init__(self, call: Call[T, V]) -> None:
        self.call = call
        self.began = time.monotonic()
        self._begun = threading.Event()
        self._result: Attempt[T] | None = None
        self._thread = threading.Thread(target=self._make, name=f"demo: {call.text}", daemon=True)
        self._thread.start()
        self._begun.wait()

    def _make(self) -> None:
        self.began = time.monotonic()
        self._begun.set()
        self._result = attempt(self.call.function)

    def is_over(self, within_s: float) -> bool:
        """Whether the call has returned, looked for so long at most."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def join(self) -> Attempt[T]:
        """How the call ended, when it has."""
        self._thread.join()
        assert self._result is not None
        return self._result

    def abandon(self) -> None:
        """Nobody wants to know any more: what the call opened is closed."""
        value = self.join().value
        if isinstance(value, socket.socket):
            value.close()
