"""Going through steps by hand: nobody waits, and every need is met, or interrupted, by the test itself."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from afunix.kernel.channel import Channel
from afunix.kernel.steps import Need, Steps
from afunix.kernel.stream_steps import StreamSteps

T = TypeVar("T")
Pair = tuple[StreamSteps, socket.socket]


@contextmanager
def stepped(send_buffer: int = 4096, *, accept_fds: int = 0) -> Iterator[Pair]:
    """A stream that nobody waits for, and the bare socket at its other end."""
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    stream = StreamSteps(Channel(near), accept_fds=accept_fds)
    with far:
        yield stream, far
    stream._channel.close()


def go(steps: Steps[T], at_each: Callable[[], object] = lambda: None) -> tuple[T, list[Need]]:
    """The result, and what was needed on the way; `at_each` sees to it."""
    needs = []
    while True:
        try:
            needs.append(next(steps))
        except StopIteration as end:
            return end.value, needs
        at_each()


def interrupted(steps: Steps[Any], error: BaseException) -> BaseException:
    """What comes of `error` when it is thrown into the first wait."""
    next(steps)
    with pytest.raises(BaseException) as caught:
        steps.throw(error)
    return caught.value


class Interrupt(BaseException):
    pass
