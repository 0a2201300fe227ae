"""Descriptors arrive with the byte that they were sent with, all of them, in order; nothing of them stays here."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afunix.kernel.channel import Channel
from afunix.kernel.descriptor_pump import DescriptorPump
from afunix.kernel.pump import SHARE_BYTES, Wants


class Line:
    """`client` → source, pump, sink → `server`."""

    def __init__(self, stack: ExitStack) -> None:
        self.client, near = map(stack.enter_context, socket.socketpair())
        far, self.server = map(stack.enter_context, socket.socketpair())
        self.source = stack.enter_context(closing(Channel(near)))
        self.sink = stack.enter_context(closing(Channel(far)))
        self.pump = stack.enter_context(
            closing(DescriptorPump(self.source, self.sink, self.sink.end_sending))
        )
        self.server.setblocking(False)

    def received(self) -> list[tuple[bytes, list[int]]]:
        """What the server gets, one receive after the other; the descriptors as inode numbers."""
        found: list[tuple[bytes, list[int]]] = []
        while True:
            try:
                data, fds, flags, _ = socket.recv_fds(self.server, 1 << 20, 253)
            except BlockingIOError:
                return found
            assert not flags & socket.MSG_CTRUNC
            found.append((data, [inode(fd) for fd in fds]))
            for fd in fds:
                os.close(fd)
            if not data:
                return found


@pytest.fixture
def line() -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(stack)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def inode(fd: int) -> int:
    return os.fstat(fd).st_ino


def test_bytes_and_descriptors_pass_and_are_counted(line: Line, pipe: tuple[int, int]) -> None:
    socket.send_fds(line.client, [b"hello"], list(pipe))
    assert line.pump.step() is Wants.SOURCE
    assert line.received() == [(b"hello", [inode(pipe[0])] * 2)]
    assert (line.pump.moved, line.pump.descriptors, line.pump.held) == (5, 2, 0)


def test_what_is_open_here_meanwhile_is_closed(line: Line, pipe: tuple[int, int]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(line.client, [b"hello"], [pipe[0]] * 253)
    line.pump.step()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("before", [1, 2, 3, 1000, 65535, 65536, 65537, 200_000])
def test_bytes_before_a_message_with_descriptors_come_without_them(
    line: Line, pipe: tuple[int, int], before: int
) -> None:
    line.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    line.sink.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    line.client.send(b"p" * before)
    socket.send_fds(line.client, [b"FD"], [pipe[0]])
    line.client.send(b"after")
    line.pump.step()
    line.server.setblocking(True)
    plain = b""
    while len(plain) < before:  # a byte more would bring them
        data, fds, _, _ = socket.recv_fds(line.server, before - len(plain), 1)
        assert fds == []
        plain += data
    line.server.setblocking(False)
    assert line.received() == [(b"FD", [inode(pipe[0])]), (b"after", [])]


Message = tuple[int, int]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 3)), max_size=12))
def test_each_message_arrives_with_its_own(messages: list[Message]) -> None:
    """As a direct connection would have it: byte for byte, which ones come with descriptors."""
    with ExitStack() as stack:
        line = Line(stack)
        reading, writing = os.pipe()
        stack.callback(os.close, reading)
        stack.callback(os.close, writing)
        expected = send_all(line.client, messages, reading)
        line.pump.step()
        line.client.close()
        line.pump.step()
        assert where_descriptors_come(line.server) == expected
        assert line.pump.is_finished


def send_all(client: socket.socket, messages: list[Message], fd: int) -> dict[int, int]:
    """At which byte how many descriptors were sent."""
    position = 0
    places: dict[int, int] = {}
    for size, count in messages:
        if count:
            socket.send_fds(client, [b"m" * size], [fd] * count)
            places[position] = count
        else:
            client.send(b"m" * size)
        position += size
    return {**places, -1: position}


def where_descriptors_come(server: socket.socket) -> dict[int, int]:
    """Read byte by byte, until the end."""
    position = 0
    places: dict[int, int] = {}
    while True:
        data, fds, _, _ = socket.recv_fds(server, 1, 253)
        if not data:
            return {**places, -1: position}
        if fds:
            places[position] = len(fds)
        for fd in fds:
            os.close(fd)
        position += 1


def test_a_sink_without_room_keeps_the_descriptors_for_its_first_byte(
    line: Line, pipe: tuple[int, int]
) -> None:
    while line.sink.try_send(b"x" * 65536):
        pass
    socket.send_fds(line.client, [b"hello"], [pipe[0]])
    assert line.pump.step() is Wants.SINK
    assert (line.pump.held, line.pump.descriptors) == (5, 0)
    assert all(not fds for _, fds in line.received())
    line.pump.step()
    assert line.received() == [(b"hello", [inode(pipe[0])])]


def test_a_pump_that_is_closed_closes_what_it_holds(line: Line, pipe: tuple[int, int]) -> None:
    while line.sink.try_send(b"x" * 65536):
        pass
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(line.client, [b"hello"], [pipe[0]] * 5)
    line.pump.step()
    assert len(os.listdir("/proc/self/fd")) == before + 5
    line.pump.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_end_comes_after_the_last_byte(line: Line, pipe: tuple[int, int]) -> None:
    socket.send_fds(line.client, [b"last"], [pipe[0]])
    line.client.shutdown(socket.SHUT_WR)
    assert line.pump.step() is Wants.NOTHING
    assert line.received() == [(b"last", [inode(pipe[0])]), (b"", [])]
    assert (line.pump.source_error, line.pump.sink_error) == (None, None)


def test_a_receiver_that_refuses_descriptors_ends_the_pump_with_its_error(
    line: Line, pipe: tuple[int, int]
) -> None:
    line.server.close()
    socket.send_fds(line.client, [b"hello"], [pipe[0]])
    assert line.pump.step() is Wants.NOTHING
    assert isinstance(line.pump.sink_error, BrokenPipeError)
    assert line.pump.descriptors == 0


def test_descriptors_that_cannot_be_opened_here_end_it_with_an_error(
    line: Line, pipe: tuple[int, int]
) -> None:
    socket.send_fds(line.client, [b"hello"], [pipe[0]] * 3)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    with ExitStack() as stack:
        for _ in range(highest + 2 - len(os.listdir("/proc/self/fd"))):
            stack.callback(os.close, os.dup(0))  # no gaps below the limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, limits[1]))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        assert line.pump.step() is Wants.NOTHING
    assert line.pump.source_error is not None and line.pump.source_error.errno == errno.EMFILE
    assert line.received() == []


def test_a_socket_that_brings_credentials_is_told_not_to(line: Line, pipe: tuple[int, int]) -> None:
    line.source.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    pump = DescriptorPump(line.source, line.sink, line.sink.end_sending)
    line.client.send(b"plain")
    socket.send_fds(line.client, [b"FD"], [pipe[0]])
    pump.step()
    line.client.close()
    pump.step()
    line.server.setblocking(True)
    assert where_descriptors_come(line.server) == {5: 1, -1: 7}


def test_one_step_moves_its_share_and_asks_for_another_turn(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afunix.kernel.descriptor_pump.SHARE_BYTES", 1000)
    assert SHARE_BYTES > 1000
    line.client.send(b"x" * 2000)
    assert line.pump.step() is Wants.TURN
