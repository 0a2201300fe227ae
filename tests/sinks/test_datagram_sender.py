"""A sender is one and the same to the server, and its answers are kept for it: within a bound, and counted."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.datagram_relaying import Between, all_of, ask, fill, read_on, restart

from afunix.model.errors import NoSuchSocketError
from afunix.sinks import datagram_sender
from afunix.sinks.datagram_sender import LONGEST_PAUSE_S


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def between(sock_dir: str, stack: ExitStack) -> Between:
    return Between(sock_dir, stack)


def test_a_long_datagram_gets_the_room_that_it_needs(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    between.send(sender, b"x" * 300_000)
    assert all_of(server) == [b"x" * 300_000]


def test_a_named_sender_stays_the_same_to_the_server(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    between.send(sender, b"1")
    between.send(sender, b"2")
    assert server.recvfrom(10)[1] == server.recvfrom(10)[1]


def test_answers_wait_for_a_sender_whose_queue_is_full(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    between.send(sender, b"hello")
    name = server.recvfrom(10)[1]
    sent = 0
    for _ in range(3000):
        try:
            server.sendto(b"%d" % sent, name)
        except BlockingIOError:
            break
        sent += 1
        between.turn()
    got: list[bytes] = []
    for _ in range(sent + 10):
        got += all_of(sender)
        between.loop.advance(LONGEST_PAUSE_S)
    assert sent < 3000 and got == [b"%d" % number for number in range(sent)]


def test_answers_that_a_restart_leaves_no_room_for_are_counted(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_sender, "WAITING_DATAGRAMS", 3)
    server, sender = between.bind("s"), between.bind("a")
    sent = fill(between, server, ask(between, server, sender))
    server = restart(between, server)
    between.send(sender, b"again")
    got = len(read_on(between, sender))
    assert got < sent and got + between.relay.bytes_unwritten() == sent


def test_a_server_that_is_not_there_is_told_and_the_datagram_counted(between: Between) -> None:
    between.send(between.bind("a"), b"abc")
    assert isinstance(between.lost[0], NoSuchSocketError)
    assert (between.relay.bytes_lost, between.relay.drain()) == (3, True)


def test_a_server_that_disconnects_from_a_sender_takes_no_answer_back(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    server.connect(ask(between, server, sender))
    server.send(b"answer")
    between.send(sender, b"queued at the server, which makes disconnecting an error for the other end")
    between.bind("z")
    server.connect(f"{between.directory}/z")
    between.turn()
    assert all_of(sender) == [b"answer"] and len(between.relay.pairs.pairs) == 1
