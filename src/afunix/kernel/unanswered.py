"""Who waits in the queue of a socket that ends, and what they had sent: counted, for that is all that can be done.

Accepting is the only way to see who waits (accept(2)), and receiving the only way to see datagrams. The socket refuses new
ones first; whoever still holds it is concerned, so it is for a socket that nobody else serves any more.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import NamedTuple

from ..model.acceptance import AcceptFailure, classify
from .channel import Channel
from .listener import Listener


class Unanswered(NamedTuple):
    """`clients` had connected, and had sent `sent` bytes; `datagrams` of `sent` bytes had come. With `is_certain` False
    there may have been more: descriptors or memory ran out.
    """

    clients: int = 0
    datagrams: int = 0
    sent: int = 0
    is_certain: bool = True

    def with_those(self, other: Unanswered) -> Unanswered:
        return Unanswered(
            self.clients + other.clients,
            self.datagrams + other.datagrams,
            self.sent + other.sent,
            self.is_certain and other.is_certain,
        )


def turn_away(listener: Listener) -> Unanswered:
    """Refuse new ones, and close whoever waits. An inherited socket's are its owner's: they are left alone."""
    if not listener.is_ours:
        return Unanswered()
    listener.refuse_new()
    listener.socket.setblocking(False)
    return _datagrams(listener) if listener.type == socket.SOCK_DGRAM else _clients(listener)


def _clients(listener: Listener) -> Unanswered:
    clients = sent = 0
    while True:
        try:
            channel = Channel(listener.accept())
        except OSError as error:  # EAGAIN, or EINVAL where it is shut down: there is nobody left
            failure = classify(error.errno)
            if failure is AcceptFailure.TRANSIENT:
                continue
            return Unanswered(clients, 0, sent, failure is not AcceptFailure.SHORTAGE)
        clients += 1
        sent += channel.queued()
        channel.close()


def _datagrams(listener: Listener) -> Unanswered:
    datagrams = sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += listener.socket.recv_into(bytearray(1), 1, socket.MSG_TRUNC)
            datagrams += 1
    return Unanswered(0, datagrams, sent)
