"""What tests of the stream layer share: the loop, and pairs of connected sockets, closed for them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from tests.loops import HandTurned

from afunix.kernel.channel import Channel
from afunix.model import events
from afunix.streams.connection import Connection


@pytest.fixture
def loop() -> Iterator[HandTurned]:
    """An event loop that is turned by hand."""
    with closing(HandTurned()) as loop:
        yield loop


@pytest.fixture
def new_pair() -> Iterator[Callable[..., tuple[socket.socket, socket.socket]]]:
    """Makes pairs of connected Unix sockets."""
    with ExitStack() as stack:

        def make(kind: int = socket.SOCK_STREAM) -> tuple[socket.socket, socket.socket]:
            one, other = socket.socketpair(socket.AF_UNIX, kind)
            stack.enter_context(one)
            stack.enter_context(other)
            return one, other

        yield make


@pytest.fixture
def told() -> list[events.Event]:
    return []


@pytest.fixture
def ends(loop: HandTurned, told: list[events.Event]) -> Iterator[tuple[Connection, socket.socket]]:
    near, far = socket.socketpair()
    far.setblocking(False)
    connection = Connection(Channel(near), loop=loop, observer=told.append)
    with far:
        yield connection, far
    connection.close()


@pytest.fixture
def connection(ends: tuple[Connection, socket.socket]) -> Connection:
    return ends[0]


@pytest.fixture
def far(ends: tuple[Connection, socket.socket]) -> socket.socket:
    return ends[1]
