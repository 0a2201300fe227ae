"""Pairs of a relay on a hand-turned loop: a client and a server in this process, and the two sockets between them."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from tests.collecting import ROOMY_BYTES
from tests.loops import HandTurned

from afunix.kernel.channel import Channel
from afunix.kernel.pipes import PipePool
from afunix.kernel.pump import Pump, Wants
from afunix.kernel.spliced_stream import SplicedStream
from afunix.streams.duplex import Duplex
from afunix.streams.duplex_set import DuplexSet

BULK = random.Random(1).randbytes(3 << 20)


def copying(source: Channel, sink: Channel, pool: PipePool) -> Pump:
    return Pump(source.try_receive, sink.try_send, at_end=sink.end_sending)


def splicing(source: Channel, sink: Channel, pool: PipePool) -> Pump:
    mover = SplicedStream(source, sink, pool)
    return Pump(source.try_receive, sink.try_send, mover=mover, at_end=sink.end_sending)


MakePump = Callable[[Channel, Channel, PipePool], Pump]


class Talk:
    """One pair: `client` and `server` are its outer ends, `duplex` what is between them."""

    def __init__(self, client: socket.socket, server: socket.socket, duplex: Duplex) -> None:
        self.client = client
        self.server = server
        self.duplex = duplex


def drain(sock: socket.socket) -> bytes:
    """What can be received now."""
    got = bytearray()
    try:
        while piece := sock.recv(1 << 20):
            got += piece
    except (BlockingIOError, ConnectionResetError):
        pass
    return bytes(got)


def has_ended(sock: socket.socket) -> bool:
    """Is there nothing to be received any more, now and later?"""
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False


class Between:
    """A DuplexSet, its pairs, and those that are over with the bytes that were lost with each."""

    def __init__(self, loop: HandTurned, stack: ExitStack, make: MakePump = copying, **options: Any) -> None:
        self.loop = loop
        self.over: list[tuple[Duplex, int]] = []
        self.on_over: Callable[[Duplex], object] = lambda duplex: None
        self.pool = PipePool()
        self.set = DuplexSet(loop, self._note, **options)
        self._make = make
        self._stack = stack
        stack.callback(self.pool.close)
        stack.callback(self.set.close)

    def _note(self, duplex: Duplex) -> None:
        self.over.append((duplex, duplex.unmoved))
        self.on_over(duplex)

    def join(self, *, roomy: bool = True) -> Talk:
        near, client = socket.socketpair()
        far, server = socket.socketpair()
        for sock in (client, server):
            sock.setblocking(False)
            self._stack.callback(sock.close)
            if roomy:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOMY_BYTES)
        ends = Channel(near), Channel(far)
        up, down = self._make(*ends, self.pool), self._make(*ends[::-1], self.pool)
        duplex = Duplex(*ends, up, down)
        self.set.add(duplex)
        self.set.start(duplex)
        return Talk(client, server, duplex)

    def settle(self) -> None:
        """Turn until nothing moves any more."""
        self.loop.until_still(lambda: (self.set.bytes_moved(), len(self.over)))

    def events_at_rest(self) -> int:
        """How many times a pair is served in twenty turns in which nothing happens."""
        self.settle()
        served: list[object] = []
        original = self.set._readiness._on_ready
        self.set._readiness._on_ready = lambda end, events: served.append(events)
        self.loop.turn(20)
        self.set._readiness._on_ready = original
        return len(served)


def carry(between: Between, source: socket.socket, sink: socket.socket, data: bytes) -> bytes:
    """Send `data` at `source`, and what arrives at `sink`."""
    got, left = bytearray(), memoryview(data)
    while len(got) < len(data):
        try:
            left = left[source.send(left) :] if left else left
        except BlockingIOError:
            pass
        between.loop.turn()
        got += drain(sink)
    return bytes(got)


def fill(between: Between, sock: socket.socket) -> int:
    """Send until nothing more goes in; how much did."""
    sent = 0
    while True:
        between.settle()
        try:
            sent += sock.send(BULK)
        except BlockingIOError:
            return sent


class Endless:
    """A pump that always has more, or fails, as it is told."""

    def __init__(self, *answers: Wants) -> None:
        self.answers = list(answers)
        self.steps = 0
        self.is_finished = False
        self.source_error: OSError | None = None
        self.sink_error: OSError | None = None
        self.moved = 0
        self.held = 0

    def pass_on(self) -> bool:
        return False

    def step(self) -> Wants:
        self.steps += 1
        wants = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if wants is Wants.NOTHING:
            self.is_finished = True
        return wants

    def close(self) -> None:
        self.is_finished = True


def pair_of(between: Between, up: Any, down: Any) -> Talk:
    """A pair with these pumps."""
    pumps = [up, down]
    between._make = lambda source, sink, pool: pumps.pop(0)
    return between.join()
