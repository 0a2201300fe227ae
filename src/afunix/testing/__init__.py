r"""For tests of programs that use afunix: connected streams, a recorder of events, and everything that can go wrong.

    pair, blocking_pair, packet_pair    two connected ends; the first is the one under test
    stream_and_peer, Peer               a stream, and a peer that reads and writes only when it is told
    Recorder                            an observer that keeps events, and waits for them
    Faults                              EAGAIN, short writes, resets, lost descriptors: call by call, for one socket
    faulty_listener                     the same for a server: what accept(2) fails with, and each client's Faults
    full_backlog, stale_socket_file     what a client finds
    socket_dir                          a directory whose name is short enough for a socket's path

    async def test_a_slow_network_changes_nothing() -> None:
        faults = Faults()
        faults.sending.limit(3)
        stream, other = pair(faults=faults)
        async with stream, other:
            await stream.send(b"hello\n")
            assert await other.receive_exactly(6) == b"hello\n"
            assert faults.sending.calls == 2

All sockets are real, nothing global is changed: a fault is the business of the socket that it was given to. As pytest
fixtures, with `pytest_plugins = ["afunix.testing.fixtures"]` in conftest.py, they close what the test leaves open.
Nothing is imported until its name is used (PEP 562).
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from .directory import socket_dir
    from .faults import Faults
    from .listener import FaultyListener, faulty_listener
    from .obstacles import FullBacklog, full_backlog, stale_socket_file
    from .pairs import blocking_pair, packet_pair, pair, stream_and_peer
    from .peer import Peer
    from .recorder import Recorder

__all__ = [
    "Faults",
    "FaultyListener",
    "FullBacklog",
    "Peer",
    "Recorder",
    "blocking_pair",
    "faulty_listener",
    "full_backlog",
    "packet_pair",
    "pair",
    "socket_dir",
    "stale_socket_file",
    "stream_and_peer",
]

_HOMES = {
    "Faults": "faults",
    "FaultyListener": "listener",
    "FullBacklog": "obstacles",
    "Peer": "peer",
    "Recorder": "recorder",
    "blocking_pair": "pairs",
    "faulty_listener": "listener",
    "full_backlog": "obstacles",
    "packet_pair": "pairs",
    "pair": "pairs",
    "socket_dir": "directory",
    "stale_socket_file": "obstacles",
    "stream_and_peer": "pairs",
}

if not TYPE_CHECKING:  # so that a misspelt name stays an error for type checkers

    def __getattr__(name):
        """Import a public name when it is first used; afterwards it is an ordinary global."""
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        from importlib import import_module

        value = getattr(import_module(f".{home}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__doc__"])
