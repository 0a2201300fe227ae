"""The steps of a packet connection, driven by hand: what they need, and what an interruption leaves."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import TypeVar

import pytest

from afunix.kernel.channel import Channel
from afunix.kernel.packet_steps import PacketSteps
from afunix.kernel.steps import Need, NoProgressError, Steps
from afunix.model.errors import (
    AfunixError,
    BusyError,
    ClosedError,
    EndOfStream,
    MessageTooLongError,
    TimedOutError,
    TruncatedError,
)

T = TypeVar("T")


@pytest.fixture
def ends() -> Iterator[tuple[PacketSteps, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    far.setblocking(False)
    channel = Channel(near)
    with far:
        yield PacketSteps(channel, accept_fds=3), far
    channel.close()


@pytest.fixture
def packets(ends: tuple[PacketSteps, socket.socket]) -> PacketSteps:
    return ends[0]


@pytest.fixture
def far(ends: tuple[PacketSteps, socket.socket]) -> socket.socket:
    return ends[1]


def result_of(steps: Steps[T]) -> T:
    """Of steps that need not wait."""
    with pytest.raises(StopIteration) as end:
        next(steps)
    value: T = end.value.value
    return value


def go_through(steps: Steps[None]) -> None:
    result_of(steps)


def test_a_receive_waits_until_a_packet_is_there(packets: PacketSteps, far: socket.socket) -> None:
    steps = packets._receive_packet_steps(None)
    assert next(steps) is Need.READABLE
    far.send(b"")
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == b""


def test_a_second_receive_is_refused_and_the_first_goes_on(packets: PacketSteps, far: socket.socket) -> None:
    first = packets._receive_packet_steps(None)
    next(first)
    with pytest.raises(BusyError, match="receiving from this packet stream"):
        next(packets._receive_packet_steps(None))
    far.send(b"1")
    with pytest.raises(StopIteration):
        next(first)


def test_the_end_is_told_every_time_after_the_last_packet(packets: PacketSteps, far: socket.socket) -> None:
    far.send(b"last")
    far.shutdown(socket.SHUT_WR)
    assert result_of(packets._receive_packet_steps(None)) == b"last"
    for _ in range(2):
        with pytest.raises(EndOfStream):
            next(packets._receive_packet_steps(None))


def test_a_packet_longer_than_asked_for_stays(packets: PacketSteps, far: socket.socket) -> None:
    far.send(b"12345")
    with pytest.raises(TruncatedError):
        next(packets._receive_packet_steps(4))
    assert result_of(packets._receive_packet_steps(5)) == b"12345"


def test_a_packet_with_more_descriptors_than_asked_for_stays_with_all_of_them(
    packets: PacketSteps, far: socket.socket
) -> None:
    with open(os.devnull) as null:
        socket.send_fds(far, [b"two"], [null.fileno()] * 2)
    with pytest.raises(TruncatedError):
        next(packets._receive_fds_steps(None, 1))
    with result_of(packets._receive_fds_steps(None, 2)) as received:
        assert (received.data, len(received.fds)) == (b"two", 2)


def test_descriptors_can_come_with_nothing(packets: PacketSteps, far: socket.socket) -> None:
    with open(os.devnull) as null:
        socket.send_fds(far, [b""], [null.fileno()])
    with result_of(packets._receive_fds_steps(None, None)) as received:
        assert (received.data, len(received.fds)) == (b"", 1)
        assert not os.get_inheritable(received.fds[0].fileno())


def test_descriptors_nobody_asked_for_are_closed_and_counted(
    packets: PacketSteps, far: socket.socket
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with open(os.devnull) as null:
        socket.send_fds(far, [b"x"], [null.fileno()] * 20)
    assert result_of(packets._receive_packet_steps(None)) == b"x"
    assert packets.stats.descriptors_closed >= 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_accept_fds_nobody_can_ask_for_them(packets: PacketSteps) -> None:
    packets.accept_fds = 0
    with pytest.raises(AfunixError, match="this packet stream was opened without accept_fds"):
        next(packets._receive_fds_steps(None, None))


def fill(packets: PacketSteps) -> int:
    count = 0
    while True:
        try:
            next(steps := packets._send_packet_steps(bytes(1000)))
        except StopIteration:
            count += 1
        else:
            steps.close()
            return count


def test_a_send_waits_for_room_and_interrupted_has_sent_nothing(
    packets: PacketSteps, far: socket.socket
) -> None:
    sent = fill(packets)
    received = 0
    with pytest.raises(BlockingIOError):
        while far.recv(2000):
            received += 1
    assert received == sent
    go_through(packets._send_packet_steps(b"next"))
    assert far.recv(10) == b"next"


def test_no_room_for_send_timeout_is_told_with_nothing_sent(packets: PacketSteps) -> None:
    fill(packets)
    packets.send_timeout = 0.5
    steps = packets._send_packet_steps(b"12345")
    assert next(steps) is Need.WRITABLE
    with pytest.raises(TimedOutError, match=r"packet stream made no room for 0\.5 s; 0 of 5 bytes") as told:
        steps.throw(NoProgressError())
    assert told.value.bytes_sent == 0


def test_a_packet_that_is_too_long_names_the_limit_and_the_next_one_goes(
    packets: PacketSteps, far: socket.socket
) -> None:
    limit = packets.max_packet_bytes
    with pytest.raises(MessageTooLongError, match=rf"{limit + 1} bytes long, and at most {limit} .*EMSGSIZE"):
        next(packets._send_packet_steps(bytes(limit + 1)))
    go_through(packets._send_packet_steps(bytes(limit)))
    assert len(far.recv(limit + 1)) == limit


def test_254_descriptors_are_refused_before_anything_goes(packets: PacketSteps, far: socket.socket) -> None:
    with pytest.raises(ValueError, match="254 descriptors in one message: at most 253 go"):
        next(packets._send_packet_steps(b"x", [0] * 254))
    with pytest.raises(BlockingIOError):
        far.recv(1)


def test_after_close_nothing_works(packets: PacketSteps) -> None:
    packets._channel.close()
    for steps in (packets._receive_packet_steps(None), packets._send_packet_steps(b"")):
        with pytest.raises(ClosedError, match="this packet stream is closed"):
            next(steps)
