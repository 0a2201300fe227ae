"""Records go on whole, in order, with their descriptors; what cannot go on ends the direction with its reason."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afunix.kernel.channel import Channel
from afunix.kernel.pump import Wants
from afunix.kernel.record_relay import RecordRelay


class Line:
    """`client` → source, relay, sink → `server`."""

    def __init__(self, stack: ExitStack, *, passes_fds: bool = False) -> None:
        self.client, near = map(stack.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        far, self.server = map(stack.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        self.source = stack.enter_context(closing(Channel(near)))
        self.sink = stack.enter_context(closing(Channel(far)))
        self.room_made: list[int] = []
        relay = RecordRelay(
            self.source, self.sink, self.sink.end_sending, passes_fds=passes_fds, make_room=self._make_room
        )
        self.relay = stack.enter_context(closing(relay))
        self.server.setblocking(False)

    def _make_room(self, sink: Channel, size: int) -> bool:
        self.room_made.append(size)
        sink.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        return sink.max_record_bytes() >= size

    def received(self) -> list[tuple[bytes, int]]:
        """What the server gets: each record, and how many descriptors came with it. Not to be asked at the end."""
        found: list[tuple[bytes, int]] = []
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self.server, 1 << 20, 253)
            except BlockingIOError:
                return found
            for fd in fds:
                os.close(fd)
            found.append((data, len(fds)))


@pytest.fixture
def line() -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(stack)


@pytest.fixture
def passing() -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(stack, passes_fds=True)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 2)), max_size=8), st.booleans())
def test_records_arrive_as_they_were_sent(records: list[tuple[bytes, int]], passes_fds: bool) -> None:
    with ExitStack() as stack:
        line = Line(stack, passes_fds=passes_fds)
        for record, count in records:
            if passes_fds and count:
                socket.send_fds(line.client, [record], [line.client.fileno()] * count)
            else:
                line.client.send(record)
        assert line.relay.step() is Wants.SOURCE
        assert line.received() == [(record, count if passes_fds else 0) for record, count in records]
        assert line.relay.moved == sum(len(record) for record, _ in records)
        assert line.relay.records == len(records)


def test_an_empty_record_is_none_that_ends(line: Line) -> None:
    line.client.send(b"")
    line.client.send(b"x")
    line.relay.step()
    assert line.received() == [(b"", 0), (b"x", 0)]
    line.client.shutdown(socket.SHUT_WR)
    assert line.relay.step() is Wants.NOTHING
    assert (line.relay.source_error, line.sink.send_ended) == (None, True)


def test_a_full_sink_holds_one_record_and_its_descriptors(passing: Line) -> None:
    while passing.sink.try_send_record(b"x" * 1000):
        pass
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(passing.client, [b"held"], [passing.client.fileno()])
    assert passing.relay.step() is Wants.SINK
    assert (passing.relay.held, len(os.listdir("/proc/self/fd"))) == (4, before + 1)
    passing.received()
    assert passing.relay.step() is Wants.SOURCE
    assert passing.received() == [(b"held", 1)]
    assert (passing.relay.descriptors, len(os.listdir("/proc/self/fd"))) == (1, before)


def test_closed_it_closes_what_it_holds(passing: Line) -> None:
    while passing.sink.try_send_record(b"x" * 1000):
        pass
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(passing.client, [b"held"], [passing.client.fileno()] * 3)
    passing.relay.step()
    passing.relay.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_descriptors_that_nobody_wants_end_it(line: Line) -> None:
    socket.send_fds(line.client, [b"abc"], [line.client.fileno()])
    assert line.relay.step() is Wants.NOTHING
    assert line.relay.source_error is not None and line.relay.source_error.errno == errno.EOPNOTSUPP
    assert line.received() == []


def test_a_long_record_gets_room_where_room_can_be_made(line: Line) -> None:
    line.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    line.client.send(b"x" * 300_000)
    assert line.relay.step() is Wants.SOURCE
    assert (line.received(), line.room_made) == ([(b"x" * 300_000, 0)], [300_000])


def test_a_record_that_is_too_long_ends_it_and_says_so(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line.relay, "_make_room", lambda sink, size: False)
    line.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    line.client.send(b"x" * 300_000)
    assert line.relay.step() is Wants.NOTHING
    error = line.relay.sink_error
    assert error is not None and error.errno == errno.EMSGSIZE
    assert f"300000 bytes came, and at most {line.sink.max_record_bytes()}" in str(error)


def test_a_reset_comes_after_the_records_before_it(line: Line) -> None:
    line.client.send(b"last")
    line.source.socket.send(b"unread")
    line.client.close()
    assert line.relay.step() is Wants.NOTHING
    assert isinstance(line.relay.source_error, ConnectionResetError)
    assert line.server.recv(10) == b"last"


def test_many_records_take_their_turns(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afunix.kernel.record_relay._SHARE_RECORDS", 4)
    for _ in range(5):
        line.client.send(b"x")
    assert line.relay.step() is Wants.TURN
    assert line.relay.step() is not Wants.NOTHING
