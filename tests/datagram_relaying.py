"""A relay of datagrams between a server and senders of the test, its loop turned by hand, and what they say."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import pytest
from tests.loops import HandTurned

from afunix.kernel.channel import Channel
from afunix.kernel.datagram_channel import ask_for_credentials
from afunix.kernel.listener import Listener
from afunix.model.address import Address
from afunix.model.events import Event
from afunix.model.rules import Rules
from afunix.sinks.datagram_relay import DatagramRelay
from afunix.sinks.datagram_sender import LONGEST_PAUSE_S


class Between:
    """A relay at `DIR/r` in front of a server at `DIR/s`; `lost` is why datagrams got no further."""

    def __init__(self, directory: str, stack: ExitStack, **options: object) -> None:
        self.directory = directory
        self.stack = stack
        self.loop = HandTurned()
        stack.callback(self.loop.close)
        self.listener = Listener.open(
            Address.parse(f"{directory}/r"), "dgram", configure=ask_for_credentials, accepts_fds=bool(options)
        )
        stack.callback(self.listener.close)
        self.lost: list[Exception] = []
        self.alerts: list[Event] = []
        settings = {"rules": Rules(), "max_senders": 100, **options}
        self.relay = DatagramRelay(
            [self.listener],
            Address.parse(f"{directory}/s"),
            self.loop,
            on_unreachable=self._on_unreachable,
            alerts=self.alerts.append,
            **settings,  # type: ignore[arg-type]
        )
        stack.callback(self.relay.close)
        self.relay.start()

    def _on_unreachable(self, channel: Channel, error: Exception) -> None:
        self.lost.append(error)

    def bind(self, name: str) -> socket.socket:
        sock = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        sock.setblocking(False)
        if name:
            sock.bind(f"{self.directory}/{name}")
        return sock

    def send(self, sender: socket.socket, data: bytes) -> None:
        sender.sendto(data, f"{self.directory}/r")
        self.loop.turn(2)

    def turn(self) -> None:
        self.loop.turn(3)


def all_of(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(1 << 20))
        except BlockingIOError:
            return found


def fill(between: Between, server: socket.socket, name: str) -> int:
    """Answer until there is room for no more; how many bytes."""
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += server.sendto(b"%05d" % sent, name)
            between.turn()
    return sent


def ask(between: Between, server: socket.socket, sender: socket.socket) -> str:
    between.send(sender, b"ask")
    name = server.recvfrom(10)[1]
    assert isinstance(name, bytes)
    return name  # type: ignore[return-value]


def read_on(between: Between, sender: socket.socket) -> bytes:
    got = b""
    for _ in range(1000):
        new = b"".join(all_of(sender))
        between.loop.advance(LONGEST_PAUSE_S)
        got += new
        if not new:
            return got
    raise AssertionError("there is no end of it")


def numbered(size: int) -> bytes:
    return b"".join(b"%05d" % number for number in range(0, size, 5))


def restart(between: Between, server: socket.socket) -> socket.socket:
    server.close()
    os.unlink(f"{between.directory}/s")
    return between.bind("s")
