"""Descriptors that nobody asked for are never open here, and each receive that came with some is counted."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from afunix.kernel.discarding_channel import DiscardingChannel

Pair = tuple[DiscardingChannel, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    channel = DiscardingChannel(near)
    with far:
        yield channel, far
    channel.close()


def receive(channel: DiscardingChannel) -> bytes | None:
    return channel.try_receive(10)


def receive_into(channel: DiscardingChannel) -> bytes | None:
    buffer = bytearray(10)
    count = channel.try_receive_into(memoryview(buffer))
    return None if count is None else bytes(buffer[:count])


both_ways = pytest.mark.parametrize("take", [receive, receive_into])
Take = Callable[[DiscardingChannel], "bytes | None"]


@both_ways
def test_bytes_come_as_from_any_channel(pair: Pair, take: Take) -> None:
    channel, far = pair
    assert take(channel) is None
    far.send(b"abc")
    channel.unread(b"back")
    assert (take(channel), take(channel), take(channel)) == (b"back", b"abc", None)
    far.close()
    assert not channel.receive_ended
    assert take(channel) == b""
    assert (channel.receive_ended, channel.bytes_received, channel.descriptors_closed) == (True, 3, 0)


@both_ways
def test_descriptors_are_never_open_and_each_receive_with_some_is_counted(pair: Pair, take: Take) -> None:
    channel, far = pair
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        socket.send_fds(far, [b"abc"], [0, 1])
        assert take(channel) == b"abc"
        assert len(os.listdir("/proc/self/fd")) == before
    assert (channel.descriptors_closed, channel.bytes_received) == (3, 9)


def test_descriptors_that_are_asked_for_are_not_counted(pair: Pair) -> None:
    channel, far = pair
    socket.send_fds(far, [b"abc"], [0])
    taken = channel.try_receive_fds(10, 1)
    assert taken is not None
    assert (taken[0], len(taken[1]), channel.descriptors_closed) == (b"abc", 1, 0)
    os.close(taken[1][0])
