"""What tests of blocking streams share: streams whose other end is a plain socket, closed for them."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.program import PATIENCE_S

from afunix import blocking

MANY = 1 << 20
"""More than a socket's buffer holds."""

LARGE = os.urandom(2 * MANY)

Ends = tuple[blocking.Stream, socket.socket]


@pytest.fixture
def new_ends() -> Iterator[Callable[..., Ends]]:
    """Makes a stream and the plain socket at its other end; arguments go to `attach`."""
    with ExitStack() as stack:

        def make(**options: object) -> Ends:
            near, far = socket.socketpair()
            far.settimeout(PATIENCE_S)
            stack.enter_context(far)
            stream = blocking.attach(near, **options)  # type: ignore[arg-type]
            stack.callback(stream.close)
            return stream, far

        yield make


@pytest.fixture
def ends(new_ends: Callable[..., Ends]) -> Ends:
    return new_ends()


@pytest.fixture
def pair() -> Iterator[tuple[blocking.Stream, blocking.Stream]]:
    """Two streams, connected with each other, that take descriptors."""
    one, other = blocking.pair(accept_fds=4, timeout=PATIENCE_S)
    with one, other:
        yield one, other


def fork() -> int:
    """os.fork with other threads there, on purpose; Python 3.12 warns of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
