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
