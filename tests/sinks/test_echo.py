"""Echo: everything goes back to whom it came from, and a client that does not read is not read either."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.collecting import Guest, roomy_pair
from tests.loops import HandTurned

from afunix.kernel.channel import Channel
from afunix.model.framing import PieceEnd
from afunix.sinks import echo as module
from afunix.sinks.echo import Echo

BULK = random.Random(1).randbytes(2 << 20)


class Room:
    """An Echo on a hand-turned loop, its clients, and who was told to have ended."""

    def __init__(self, stack: ExitStack, *, records: bool = False) -> None:
        self.loop = HandTurned()
        stack.callback(self.loop.close)
        self.finished: list[tuple[int, PieceEnd]] = []
        self.now = 1.0
        self.echo = Echo(
            self.loop,
            on_finished=lambda channel, end: self.finished.append((channel.connection, end)),
            records=records,
            clock=lambda: self.now,
        )
        stack.callback(self.echo.close)
        self._stack = stack
        self._kind = socket.SOCK_SEQPACKET if records else socket.SOCK_STREAM
        self._count = 0

    def join(self, first_words: bytes = b"") -> Guest:
        ours, theirs = roomy_pair(self._kind)
        self._stack.callback(theirs.close)
        self._count += 1
        guest = Guest(theirs, Channel(ours, self._count))
        if first_words:
            guest.say(first_words)
        self.echo.on_channel(guest.channel)
        return guest

    def hear(self, guest: Guest) -> bytes:
        """Turn until nothing more comes back to `guest`, which takes it."""
        heard = bytearray()

        def take() -> int:
            try:
                while piece := guest.sock.recv(1 << 20):
                    heard.extend(piece)
            except BlockingIOError:
                pass
            return len(heard)

        self.loop.until_still(take)
        return bytes(heard)


@pytest.fixture
def room() -> Iterator[Room]:
    with ExitStack() as stack:
        yield Room(stack)


@pytest.fixture
def record_room() -> Iterator[Room]:
    with ExitStack() as stack:
        yield Room(stack, records=True)


def test_bytes_come_back_to_whom_they_came_from(room: Room) -> None:
    ana, bo = room.join(), room.join()
    ana.say(b"ana")
    bo.say(b"bo")
    assert (room.hear(ana), room.hear(bo)) == (b"ana", b"bo")


def test_first_words_are_answered_before_the_loop_turns(room: Room) -> None:
    ana = room.join(b"hello")
    assert ana.sock.recv(9) == b"hello"


def test_bulk_comes_back_byte_for_byte(room: Room) -> None:
    ana = room.join()
    heard, left = b"", BULK
    while left:
        left = left[ana.say_what_fits(left) :]
        heard += room.hear(ana)
    assert heard == BULK


def test_client_that_does_not_read_is_not_read_and_nobody_else_notices(room: Room) -> None:
    deaf, bo = room.join(), room.join()
    taken = 0
    for _ in range(50):
        taken += deaf.say_what_fits(BULK)
        room.loop.turn(20)
    assert deaf.channel.bytes_received < 1 << 20
    (client,) = (client for client in room.echo.clients.values() if client.channel is deaf.channel)
    assert client.pending is not None
    assert len(client.pending) <= 64 << 10
    bo.say(b"bo")
    assert room.hear(bo) == b"bo"
    assert len(room.hear(deaf)) == taken


def test_waiting_for_a_client_that_does_not_read_costs_no_turn(room: Room) -> None:
    deaf = room.join()
    for _ in range(50):
        deaf.say_what_fits(BULK)
        room.loop.turn(20)
    sent = deaf.channel.bytes_sent
    calls: list[int] = []
    room.echo._push = room.echo._step = lambda client: calls.append(1)  # type: ignore[method-assign]
    room.loop.turn(100)
    assert (calls, deaf.channel.bytes_sent) == ([], sent)


def test_rest_of_the_echo_comes_after_the_clients_end_of_file(room: Room) -> None:
    ana = room.join()
    said = ana.say_what_fits(BULK)
    ana.sock.shutdown(socket.SHUT_WR)
    assert room.hear(ana) == BULK[:said]
    assert room.finished == [(1, PieceEnd.EOF)]
    assert ana.channel.is_closed


def test_client_that_leaves_without_taking_its_echo_is_a_reset(room: Room) -> None:
    ana = room.join()
    ana.say_what_fits(BULK)
    room.loop.turn(20)
    ana.sock.close()
    room.loop.turn(20)
    assert room.finished == [(1, PieceEnd.RESET)]
    assert room.echo.clients == {}


def test_clock_notes_when_bytes_moved(room: Room) -> None:
    ana = room.join()
    (client,) = room.echo.clients.values()
    room.now = 2.0
    room.loop.turn(3)
    assert client.touched == 1.0
    ana.say(b"x")
    room.loop.turn(2)
    assert client.touched == 2.0


def test_dropped_client_gets_its_end_of_file(room: Room) -> None:
    ana = room.join()
    (client,) = room.echo.clients.values()
    room.echo.drop(client, PieceEnd.EOF)
    assert ana.sock.recv(1) == b""
    assert room.finished == [(1, PieceEnd.EOF)]


def test_what_a_dropped_client_had_not_taken_back_is_lost(room: Room) -> None:
    ana = room.join()
    said = 0
    for _ in range(20):
        said += ana.say_what_fits(BULK)
        room.loop.turn(20)
    (client,) = room.echo.clients.values()
    room.echo.drop(client, PieceEnd.EOF)
    assert room.echo.bytes_unwritten() == said - ana.channel.bytes_sent > 0


def test_bytes_unwritten_counts_what_is_pending_and_what_is_unread(room: Room) -> None:
    ana = room.join()
    said = 0
    for _ in range(20):
        said += ana.say_what_fits(BULK)
        room.loop.turn(20)
    assert room.echo.bytes_unwritten() == said - ana.channel.bytes_sent
    assert not room.echo.drain()


def test_close_closes_everybody(room: Room) -> None:
    ana = room.join()
    room.echo.close()
    room.echo.close()
    assert ana.channel.is_closed
    assert not os.path.exists(f"/proc/self/fd/{ana.channel.fd}")


# Records


def test_each_record_comes_back_as_one(record_room: Room) -> None:
    ana = record_room.join()
    for record in (b"one", b"", b"two"):
        ana.say(record)
        record_room.loop.turn(2)
        assert ana.sock.recv(99) == record
    assert record_room.finished == []


def test_records_wait_for_room_and_none_is_lost_or_joined(record_room: Room) -> None:
    ana = record_room.join()
    records = [b"%d" % number * 1000 for number in range(500)]
    said: list[bytes] = []
    for record in records:
        if not ana.say_what_fits(record):
            break
        said.append(record)
        record_room.loop.turn()
    heard: list[bytes] = []
    while len(heard) < len(said):
        record_room.loop.turn()
        try:
            heard.append(ana.sock.recv(1 << 16))
        except BlockingIOError:
            continue
    assert heard == said


def test_end_of_a_connection_of_records_is_told(record_room: Room) -> None:
    record_room.join().sock.close()
    record_room.loop.turn(2)
    assert record_room.finished == [(1, PieceEnd.EOF)]


def test_record_that_needs_a_larger_buffer_than_ours_gets_one(record_room: Room) -> None:
    ana = record_room.join()
    record = b"x" * (ana.channel.max_record_bytes() + 1)
    ana.say(record)
    record_room.loop.turn(2)
    assert ana.sock.recv(len(record) + 1) == record


def test_record_that_is_too_long_to_go_back_ends_its_client_only_and_is_lost(
    record_room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "make_room_for", lambda sock, record_bytes: False)
    ana, bo = record_room.join(), record_room.join()
    ana.say(b"x" * 1_000_000)
    record_room.loop.turn(2)
    assert record_room.finished == [(1, PieceEnd.RESET)]
    assert record_room.echo.bytes_unwritten() == 1_000_000
    bo.say(b"bo")
    record_room.loop.turn(2)
    assert bo.sock.recv(9) == b"bo"
