"""The end of a pair of sockets whose other end this process serves too, for what is no descriptor (a channel of ssh).

shutdown(2) would reach our own other end alone, which then throws away what it holds: so that end is asked to stop.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from .connected_socket import ConnectedSocket
from .tcp import is_tcp


class BridgedSocket(socket.socket):
    """`ask_for_end()`, which its maker sets, lets what has come there be the last: all of it comes, then an end of file."""

    ask_for_end: Callable[[], object] = staticmethod(lambda: None)


def bridged_pair() -> tuple[BridgedSocket, socket.socket]:
    """Our end, which never waits, and the one to be served; the caller owns both."""
    ours, theirs = socket.socketpair()
    bridged = BridgedSocket(ours.family, ours.type, ours.proto, ours.detach())
    bridged.setblocking(False)
    return bridged, theirs


def refuse_more(end: ConnectedSocket) -> bool:
    """Take no more than what the peer has sent by now, all of which can still be received. False: TCP has no word for it,
    and the peer is not told.
    """
    if isinstance(end.socket, BridgedSocket):
        end.socket.ask_for_end()
    elif is_tcp(end.socket):
        return False
    else:
        end.end_receiving()
    return True
