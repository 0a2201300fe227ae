"""How the TCP ends of a pair are closed: with a reset after the data, late where a close would throw data away."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.loops import HandTurned
from tests.tcp_servers import LOOPBACK

from afunix.kernel.channel import Channel
from afunix.kernel.pump import Pump
from afunix.streams.duplex import Duplex
from afunix.streams.farewell import LONGEST_PAUSE_S, PATIENCE_S, Farewells, break_of

QUEUED = os.urandom(1024 * 1024)
"""More than a receiver takes that does not read."""

RESET = ConnectionResetError(errno.ECONNRESET, "reset")


class Pair:
    """A Duplex of a TCP end `near`, whose client is `client`, and a Unix one."""

    def __init__(self, client: socket.socket, near: Channel, far: Channel) -> None:
        self.client = client
        self.near = near
        self.far = far
        up = Pump(near.try_receive, far.try_send)
        self.down = Pump(far.try_receive, near.try_send)
        self.duplex = Duplex(near, far, up, self.down)

    def break_far(self, error: OSError = RESET) -> None:
        self.down.source_error = error


@pytest.fixture
def loop() -> Iterator[HandTurned]:
    loop = HandTurned()
    yield loop
    loop.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server((LOOPBACK, 0)))
        client = opened.enter_context(socket.create_connection(listener.getsockname(), timeout=20))
        server, _ = listener.accept()
        one, other = socket.socketpair()
        opened.enter_context(other)
        server.setblocking(False)
        pair = Pair(client, Channel(server, 1), Channel(one, 1))
        opened.callback(pair.far.close)
        opened.callback(pair.near.close)
        yield pair


def send_all(channel: Channel, data: bytes) -> None:
    assert channel.try_send(data) == len(data)


def read_until_it_breaks(sock: socket.socket, loop: HandTurned) -> tuple[int, bool]:
    """How many bytes came, while time goes by here; and whether a reset came after them."""
    count = 0
    try:
        while piece := sock.recv(1 << 16):
            count += len(piece)
            if count == len(QUEUED):
                loop.advance(LONGEST_PAUSE_S)
    except ConnectionResetError:
        return count, True
    return count, False


def test_an_end_in_order_is_told_by_a_reset_that_the_other_broke(loop: HandTurned, pair: Pair) -> None:
    farewells = Farewells(loop)
    pair.break_far()
    assert not farewells.part(pair.duplex)
    assert (pair.near.is_closed, pair.far.is_closed, len(farewells)) == (True, False, 0)
    with pytest.raises(ConnectionResetError):
        pair.client.recv(1)


def test_the_reset_comes_after_the_data(loop: HandTurned, pair: Pair) -> None:
    gone: list[Duplex] = []
    farewells = Farewells(loop, gone.append)
    send_all(pair.near, QUEUED)
    pair.break_far()
    assert farewells.part(pair.duplex)
    assert (len(farewells), farewells.bytes_waiting > 0, gone) == (1, True, [])
    assert read_until_it_breaks(pair.client, loop) == (len(QUEUED), True)
    assert (len(farewells), farewells.bytes_lost, gone) == (0, 0, [pair.duplex])


def test_a_close_waits_where_a_peer_that_talks_would_lose_by_it(loop: HandTurned, pair: Pair) -> None:
    farewells = Farewells(loop)
    send_all(pair.near, QUEUED)
    pair.near.end_sending()
    farewells.part(pair.duplex)
    pair.client.sendall(b"is anybody there?")
    assert len(farewells) == 1
    assert read_until_it_breaks(pair.client, loop)[0] == len(QUEUED)
    farewells.close()


def test_a_peer_that_has_ended_is_the_kernels_business(loop: HandTurned, pair: Pair) -> None:
    farewells = Farewells(loop)
    send_all(pair.near, QUEUED)
    pair.client.shutdown(socket.SHUT_WR)
    farewells.part(pair.duplex)
    assert (len(farewells), pair.near.is_closed) == (0, False)


def test_who_takes_nothing_for_long_is_left_and_what_is_lost_is_counted(loop: HandTurned, pair: Pair) -> None:
    farewells = Farewells(loop)
    send_all(pair.near, QUEUED)
    pair.break_far()
    farewells.part(pair.duplex)
    loop.advance(PATIENCE_S - 1)
    assert len(farewells) == 1
    loop.advance(1)
    assert (len(farewells), farewells.bytes_lost > 0) == (0, True)


def test_who_breaks_meanwhile_is_not_waited_for(loop: HandTurned, pair: Pair) -> None:
    farewells = Farewells(loop)
    send_all(pair.near, QUEUED)
    pair.break_far()
    farewells.part(pair.duplex)
    pair.client.close()
    loop.advance(LONGEST_PAUSE_S)
    assert (len(farewells), farewells.bytes_lost > 0) == (0, True)


def test_an_end_of_file_on_its_way_is_no_byte_that_is_lost(loop: HandTurned, pair: Pair) -> None:
    farewells = Farewells(loop)
    send_all(pair.near, QUEUED)
    left = pair.near.unread_by_peer()
    pair.near.end_sending()
    farewells.part(pair.duplex)
    assert (len(farewells), farewells.bytes_waiting) == (1, left)
    farewells.close()
    assert farewells.bytes_lost == left


def test_who_takes_all_and_ends_between_two_looks_has_lost_nothing(loop: HandTurned, pair: Pair) -> None:
    farewells = Farewells(loop)
    send_all(pair.near, QUEUED)
    pair.near.end_sending()
    farewells.part(pair.duplex)
    with pair.client.makefile("rb") as file:
        assert len(file.read()) == len(QUEUED)
    pair.client.close()
    loop.advance(LONGEST_PAUSE_S)
    assert (len(farewells), farewells.bytes_lost) == (0, 0)


def test_the_end_waits_for_nobody(loop: HandTurned, pair: Pair) -> None:
    farewells = Farewells(loop)
    send_all(pair.near, QUEUED)
    pair.break_far()
    farewells.part(pair.duplex)
    farewells.close()
    farewells.close()
    assert (len(farewells), farewells.bytes_lost > 0) == (0, True)


def test_who_only_reads_no_more_breaks_nothing(pair: Pair) -> None:
    pair.break_far(BrokenPipeError(errno.EPIPE, "broken pipe"))
    assert break_of(pair.duplex) is None


def test_a_break_knows_where_it_came_from(pair: Pair) -> None:
    pair.break_far()
    broken = break_of(pair.duplex)
    assert broken is not None
    assert (broken.origin, broken.other, broken.error) == (pair.far, pair.near, RESET)


def test_who_writes_before_he_reads_is_not_waited_for_in_vain(loop: HandTurned, pair: Pair) -> None:
    farewells = Farewells(loop)
    farewells.is_ending = True
    send_all(pair.near, QUEUED)
    pair.near.end_sending()
    pair.client.send(b"progress")
    farewells.part(pair.duplex)
    loop.advance(LONGEST_PAUSE_S)
    assert (len(farewells), farewells.bytes_lost) == (1, 8)
    got, _ = read_until_it_breaks(pair.client, loop)
    assert got > 0
    farewells.close()
