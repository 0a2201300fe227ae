"""What is told of each call is what it did: the plain call, and its result."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel.traced_channel import TracedChannel
from afunix.model import events
from afunix.model.errors import TruncatedError
from afunix.model.lifecycle import Call

Traced = tuple[TracedChannel, socket.socket, list[events.Event]]


@pytest.fixture(params=[True, False], ids=["owned", "inherited"])
def traced(request: pytest.FixtureRequest) -> Iterator[Traced]:
    near, far = socket.socketpair()
    seen: list[events.Event] = []
    channel = TracedChannel(near, observer=seen.append, owned=request.param)
    with far:
        yield channel, far, seen
    channel.close()


def test_traced_channel_tells_each_call_with_its_result(traced: Traced) -> None:
    channel, far, seen = traced
    fd = channel.fd
    assert channel.try_receive(9) is None
    assert channel.try_send(b"hello") == 5
    far.send(b"abc")
    assert channel.try_receive(9) == b"abc"
    channel.end_sending()
    far.shutdown(socket.SHUT_WR)
    assert channel.try_receive(9) == b""
    with pytest.raises(BrokenPipeError):
        channel.try_send(b"x")
    assert seen == [
        events.BytesWritten(fd, 5),
        events.BytesRead(fd, 3),
        events.HalfClosed(fd, events.Direction.SENDING),
        events.BytesRead(fd, 0),
        events.CallFailed(fd, Call.WRITE, 32),
    ]


def test_every_way_to_receive_is_told(traced: Traced) -> None:
    channel, far, seen = traced
    far.send(b"abcdef")
    assert channel.try_receive_into(memoryview(bytearray(2))) == 2
    assert channel.try_receive_fds(3, 1) == (b"cde", [])
    assert channel.try_receive(9) == b"f"
    assert seen == [events.BytesRead(channel.fd, count) for count in (2, 3, 1)]
    assert channel.try_receive_into(memoryview(bytearray(2))) is None
    assert channel.try_receive_fds(3, 1) is None
    assert (len(seen), channel.bytes_received) == (3, 6)


def test_descriptors_are_told_with_the_bytes_that_they_came_with(traced: Traced) -> None:
    channel, far, seen = traced
    socket.send_fds(far, [b"abc"], [0, 0])
    taken = channel.try_receive_fds(9, 2)
    assert taken is not None
    for fd in taken[1]:
        os.close(fd)
    assert seen == [events.DescriptorsReceived(channel.fd, 3, 2)]


def test_bytes_that_came_with_too_many_descriptors_are_told_once(traced: Traced) -> None:
    channel, far, seen = traced
    socket.send_fds(far, [b"abc"], [0] * 9)
    with pytest.raises(TruncatedError):
        channel.try_receive_fds(9, 1)
    assert channel.try_receive(9) == b"abc"
    assert [(type(event), event.count) for event in seen if isinstance(event, events.BytesRead)] == [
        (events.DescriptorsReceived, 3)
    ]


def test_descriptors_nobody_takes_are_counted_where_the_flags_are_not_ours() -> None:
    near, far = socket.socketpair()
    seen: list[events.Event] = []
    channel = TracedChannel(near, observer=seen.append, owned=False)
    with far:
        socket.send_fds(far, [b"abc"], [0])
        assert channel.try_receive(9) == b"abc"
    assert (channel.descriptors_closed, seen) == (1, [events.BytesRead(channel.fd, 3)])
    channel.close()


def test_bytes_that_were_put_back_are_not_told_again(traced: Traced) -> None:
    channel, _, seen = traced
    channel.unread(b"abc")
    assert channel.try_receive(1) == b"a"
    assert channel.try_receive_into(memoryview(bytearray(1))) == 1
    assert channel.try_receive_fds(9, 1) == (b"c", [])
    assert seen == []


def test_every_way_to_send_is_told(traced: Traced) -> None:
    channel, far, seen = traced
    assert channel.try_send(memoryview(b"a")) == 1
    assert channel.try_send_many([b"b", memoryview(b"cd")]) == 3
    assert channel.try_send_fds(b"ef", [0]) == 2
    channel.note_sent(7)
    channel.note_sent(0)
    fd = channel.fd
    assert seen == [
        events.BytesWritten(fd, 1),
        events.BytesWritten(fd, 3),
        events.DescriptorsSent(fd, 2, 1),
        events.BytesWritten(fd, 7),
    ]
    assert (far.recv(9), channel.bytes_sent) == (b"abcdef", 13)


def test_failures_are_told_with_their_errno(traced: Traced) -> None:
    channel, far, seen = traced
    channel.try_send(b"nobody reads this")
    far.close()
    seen.clear()
    for receive in (
        lambda: channel.try_receive_into(memoryview(bytearray(1))),
        lambda: channel.try_send_fds(b"x", [0]),
        lambda: channel.try_send_many([b"x"]),
    ):
        with pytest.raises(ConnectionError):
            receive()  # type: ignore[no-untyped-call]
    assert seen == [
        events.CallFailed(channel.fd, call, errno)
        for call, errno in ((Call.READ, 104), (Call.WRITE, 32), (Call.WRITE, 32))
    ]


def test_no_room_is_not_told(traced: Traced) -> None:
    channel, _, seen = traced
    while channel.try_send(bytes(65536)):
        pass
    told = len(seen)
    assert (channel.try_send_many([b"x"]), channel.try_send_fds(b"x", [0])) == (0, 0)
    assert len(seen) == told


def test_half_close_that_comes_too_late_is_told_as_a_failure(traced: Traced) -> None:
    channel, far, seen = traced
    channel.end_receiving()
    assert seen == [events.HalfClosed(channel.fd, events.Direction.RECEIVING)]
    assert far is not None


def test_records_are_told() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    seen: list[events.Event] = []
    channel = TracedChannel(near, observer=seen.append)
    fd = channel.fd
    with far:
        assert channel.try_send_record(b"abc")
        assert channel.try_receive_record() is None
        far.send(b"xy")
        assert channel.try_receive_record() == b"xy"
    with pytest.raises(ConnectionResetError):  # its "abc" was not read; told once
        channel.try_send_record_fds(b"z", [])
    with pytest.raises(BrokenPipeError):
        channel.try_send_record(b"z")
    channel.close()
    assert seen == [
        events.BytesWritten(fd, 3),
        events.BytesRead(fd, 2),
        events.CallFailed(fd, Call.WRITE, 104),
        events.CallFailed(fd, Call.WRITE, 32),
    ]


def test_descriptors_of_a_record_are_told_with_it() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    told: list[events.Event] = []
    channel = TracedChannel(near, observer=told.append)
    fd = channel.fd
    with far, open(os.devnull) as null:
        assert channel.try_send_record_fds(b"123", [null.fileno()])
        socket.send_fds(far, [b"4"], [null.fileno()])
        taken = channel.try_receive_record_fds(1)
        assert taken is not None
        os.close(taken[1][0])
    channel.close()
    assert told == [events.DescriptorsSent(fd, 3, 1), events.DescriptorsReceived(fd, 1, 1)]


def test_a_socket_that_is_not_ours_sends_no_signal() -> None:
    near, far = socket.socketpair()
    channel = TracedChannel(near, observer=lambda event: None, owned=False)
    far.close()
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        for send in (lambda: channel.try_send(b"x"), lambda: channel.try_send_many([b"x", b"y"])):
            with pytest.raises(BrokenPipeError):
                send()  # type: ignore[no-untyped-call]
    finally:
        signal.signal(signal.SIGPIPE, before)
        channel.close()


def test_traced_channel_leaves_the_flags_of_a_socket_that_is_not_ours() -> None:
    near, far = socket.socketpair()
    with far:
        channel = TracedChannel(near, observer=lambda event: None, owned=False)
        assert os.get_blocking(channel.fd)
        channel.close()
