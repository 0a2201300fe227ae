"""Which pumps carry what: bytes by every one, descriptors and records by those that are for them."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial

import pytest

from afunix.kernel.channel import Channel
from afunix.kernel.pipes import PipePool
from afunix.kernel.pump import Wants
from afunix.kernel.relay_pumps import (
    Pumps,
    copying_pumps,
    descriptor_pumps,
    record_pumps,
    refusing_pumps,
    splicing_pumps,
    watched_pumps,
)

Make = Callable[[Channel, Channel], Pumps]


def splicing(near: Channel, far: Channel) -> Pumps:
    return splicing_pumps(PipePool(), near, far)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Line:
    """`client` ↔ near, pumps, far ↔ `server`."""

    def __init__(self, stack: ExitStack, make: Make, kind: int = socket.SOCK_STREAM) -> None:
        self.client, near = map(stack.enter_context, socket.socketpair(socket.AF_UNIX, kind))
        far, self.server = map(stack.enter_context, socket.socketpair(socket.AF_UNIX, kind))
        self.near, self.far = (stack.enter_context(closing(Channel(sock))) for sock in (near, far))
        self.up, self.down = make(self.near, self.far)
        stack.callback(self.up.close)
        stack.callback(self.down.close)


@pytest.mark.parametrize("make", [copying_pumps, refusing_pumps, descriptor_pumps, splicing])
def test_bytes_and_ends_go_both_ways(stack: ExitStack, make: Make) -> None:
    line = Line(stack, make)
    for sender, pump, receiver in (
        (line.client, line.up, line.server),
        (line.server, line.down, line.client),
    ):
        sender.send(b"hello")
        assert pump.step() is Wants.SOURCE
        assert receiver.recv(10) == b"hello"
        sender.shutdown(socket.SHUT_WR)
        assert pump.step() is Wants.NOTHING
        assert receiver.recv(10) == b""


@pytest.mark.parametrize("from_client", [True, False])
def test_descriptors_end_the_pumps_that_refuse_them(stack: ExitStack, from_client: bool) -> None:
    line = Line(stack, refusing_pumps)
    socket.send_fds(line.client if from_client else line.server, [b"x"], [0])
    pump = line.up if from_client else line.down
    assert pump.step() is Wants.NOTHING
    assert pump.source_error is not None and pump.source_error.errno == errno.EOPNOTSUPP


def test_descriptors_go_both_ways_by_the_pumps_for_them(stack: ExitStack) -> None:
    line = Line(stack, descriptor_pumps)
    for sender, pump, receiver in (
        (line.client, line.up, line.server),
        (line.server, line.down, line.client),
    ):
        socket.send_fds(sender, [b"x"], [0])
        pump.step()
        _, fds, _, _ = socket.recv_fds(receiver, 10, 5)
        assert len(fds) == 1
        os.close(fds[0])


def test_a_long_record_gets_room(stack: ExitStack) -> None:
    line = Line(stack, partial(record_pumps, False), socket.SOCK_SEQPACKET)
    line.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    line.client.send(b"x" * 300_000)
    assert line.up.step() is Wants.SOURCE
    assert len(line.server.recv(1 << 20)) == 300_000


class Told:
    """A Watch that remembers, with how many descriptors came."""

    def __init__(self) -> None:
        self.events: list[tuple[bool, bytes, int] | tuple[bool, str]] = []

    def passed(self, is_clients: bool, data: bytes | memoryview, fds: list[int]) -> None:
        self.events.append((is_clients, bytes(data), len(fds)))

    def ended(self, is_clients: bool) -> None:
        self.events.append((is_clients, "ended"))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_who_watches_is_told_what_has_gone_through_which_way(stack: ExitStack, kind: int) -> None:
    told = Told()
    line = Line(stack, partial(watched_pumps, told, kind == socket.SOCK_STREAM), kind)
    socket.send_fds(line.client, [b"question"], [0])
    line.up.step()
    data, fds, _, _ = socket.recv_fds(line.server, 100, 5)
    os.close(fds[0])
    line.server.send(b"answer")
    line.down.step()
    assert (data, line.client.recv(100)) == (b"question", b"answer")
    line.client.shutdown(socket.SHUT_WR)
    line.up.step()
    assert line.server.recv(1) == b""
    assert told.events == [(True, b"question", 1), (False, b"answer", 0), (True, "ended")]


def test_what_the_other_side_does_not_take_is_not_told_yet(stack: ExitStack) -> None:
    told = Told()
    line = Line(stack, partial(watched_pumps, told, True))
    line.client.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            line.client.send(b"x" * 65536)
            line.up.step()
    received = 0
    line.server.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            received += len(line.server.recv(1 << 20))
    assert sum(len(event[1]) for event in told.events) == received
