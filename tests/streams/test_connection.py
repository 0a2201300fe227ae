"""What a connection in an event loop adds: it can be given away, and ended for everybody."""

from __future__ import annotations

import os
import socket

import pytest
from tests.loops import HandTurned

from afunix.model.errors import BusyError
from afunix.model.stream_state import State
from afunix.streams.connection import Connection
from afunix.streams.hub import _HUBS


def test_detached_the_descriptor_is_watched_by_nobody(
    loop: HandTurned, connection: Connection, far: socket.socket
) -> None:
    task = loop.create_task(connection.wait_hangup())
    loop.turn(2)
    with pytest.raises(BusyError):
        connection._detach()
    task.cancel()
    loop.turn(2)
    sock, unread = connection._detach()
    with sock:
        far.send(b"x")
        assert (sock.recv(1), unread, connection.state) == (b"x", b"", State.DETACHED)
    assert loop not in _HUBS


def test_abort_ends_it_for_everybody_who_holds_the_socket(connection: Connection, far: socket.socket) -> None:
    with socket.socket(fileno=os.dup(connection.fileno())) as copy:
        connection.abort()
        connection.abort()
        assert copy.recv(1) == b""
        assert far.recv(1) == b""
