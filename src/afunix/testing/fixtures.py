"""pytest fixtures; the only file here that needs pytest. Put this into conftest.py:

    pytest_plugins = ["afunix.testing.fixtures"]

    afunix_dir             a directory for sockets (a Path), removed afterwards
    afunix_recorder        a Recorder
    afunix_faults          Faults, for `afunix_pair(faults=afunix_faults)`
    afunix_pair            `pair`, called in the running loop; what it made is closed for the test
    afunix_blocking_pair   `blocking_pair`, likewise
    afunix_packet_pair     `packet_pair`, likewise
    afunix_peer            `stream_and_peer`, likewise
    afunix_listener        `faulty_listener`, likewise; without an address it listens in `afunix_dir`

    def test_short_writes_do_not_show(afunix_pair, afunix_faults):
        afunix_faults.sending.limit(1)

        async def talk():
            one, other = afunix_pair(faults=afunix_faults)
            await one.send(b"hello")
            assert await other.receive_exactly(5) == b"hello"

        asyncio.run(talk())

No fixture needs a plugin for asyncio, and each works with any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from ..blocking.stream import Stream as BlockingStream
from ..streams.listening import Written
from ..streams.packets import PacketStream
from ..streams.stream import Stream
from .directory import socket_dir
from .faults import Faults
from .listener import FaultyListener, faulty_listener
from .pairs import blocking_pair, packet_pair, pair, stream_and_peer
from .peer import Peer
from .recorder import Recorder


class Closes(Protocol):
    def close(self) -> None: ...


One = TypeVar("One", bound=Closes)
Other = TypeVar("Other", bound=Closes)


@pytest.fixture
def afunix_dir() -> Iterator[Path]:
    """A directory whose name is short enough for a socket's path."""
    with socket_dir() as path:
        yield path


@pytest.fixture
def afunix_recorder() -> Recorder:
    """An observer that keeps events."""
    return Recorder()


@pytest.fixture
def afunix_faults() -> Iterator[Faults]:
    """Faults; nothing is planned any more when the test has ended."""
    with Faults() as faults:
        yield faults


@pytest.fixture
def afunix_pair() -> Iterator[Callable[..., tuple[Stream, Stream]]]:
    """`afunix.testing.pair`; what it makes is closed for the test."""
    with _closing(pair) as make:
        yield make


@pytest.fixture
def afunix_blocking_pair() -> Iterator[Callable[..., tuple[BlockingStream, BlockingStream]]]:
    """`afunix.testing.blocking_pair`; what it makes is closed for the test."""
    with _closing(blocking_pair) as make:
        yield make


@pytest.fixture
def afunix_packet_pair() -> Iterator[Callable[..., tuple[PacketStream, PacketStream]]]:
    """`afunix.testing.packet_pair`; what it makes is closed for the test."""
    with _closing(packet_pair) as make:
        yield make


@pytest.fixture
def afunix_peer() -> Iterator[Callable[..., tuple[Stream, Peer]]]:
    """`afunix.testing.stream_and_peer`; what it makes is closed for the test."""
    with _closing(stream_and_peer) as make:
        yield make


@pytest.fixture
def afunix_listener(afunix_dir: Path) -> Iterator[Callable[..., FaultyListener]]:
    """`afunix.testing.faulty_listener`, by default in `afunix_dir`; closed for the test, if no server has taken it."""
    with ExitStack() as stack:

        def make(address: Written | None = None, **options: Any) -> FaultyListener:
            listener = faulty_listener(afunix_dir / "faulty.sock" if address is None else address, **options)
            stack.callback(listener.close)
            return listener

        yield make


@contextmanager
def _closing(make: Callable[..., tuple[One, Other]]) -> Iterator[Callable[..., tuple[One, Other]]]:
    """`make`, whose results are closed when the `with` is left."""
    with ExitStack() as stack:

        def made(**options: Any) -> tuple[One, Other]:
            one, other = make(**options)
            stack.callback(one.close)
            stack.callback(other.close)
            return one, other

        yield made
