"""Datagrams reach the server whole and in order, nothing is dropped for want of room, and a stop loses none."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.datagram_relaying import Between, all_of, ask, fill, numbered, read_on

from afunix.kernel import names
from afunix.model.errors import AfunixError
from afunix.model.events import PairFailed, Refused
from afunix.model.rules import Rule, Rules


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def between(sock_dir: str, stack: ExitStack) -> Between:
    return Between(sock_dir, stack)


def test_datagrams_arrive_whole_and_in_order_also_empty_ones(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("")
    for data in (b"one", b"", b"x" * 100_000, b"two"):
        between.send(sender, data)
    assert all_of(server) == [b"one", b"", b"x" * 100_000, b"two"]
    assert between.relay.pairs.traffic() == (100_006, 0)


def test_a_full_server_makes_senders_wait_and_loses_nothing(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    sent = 0
    while sent < 1000:
        try:
            between.send(sender, b"%d" % sent)
        except BlockingIOError:
            break
        sent += 1
    assert sent < 1000
    got: list[bytes] = []
    for _ in range(sent):
        got += all_of(server)
        between.turn()
    assert got == [b"%d" % number for number in range(sent)]
    assert (between.relay.bytes_lost, between.lost) == (0, [])


def test_while_the_server_is_full_nothing_spins(between: Between) -> None:
    between.bind("s")
    sender = between.bind("a")
    with pytest.raises(BlockingIOError):
        while True:
            between.send(sender, b"x")
    moved = between.relay.bytes_written()
    assert not between.relay.drain()
    assert between.loop._selector.select(0) == []  # type: ignore[attr-defined]
    assert between.relay.bytes_written() == moved
    assert between.relay.bytes_unwritten() > 1  # one is held, the others wait in the socket


def test_answers_that_wait_are_delivered_before_a_stop_is_done(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    sent = fill(between, server, ask(between, server, sender))
    between.relay.end_conversations()
    assert not between.relay.drain()
    assert read_on(between, sender) == numbered(sent)
    assert between.relay.drain() and between.relay.bytes_unwritten() == 0


def test_answers_that_the_loop_has_not_seen_are_delivered_by_a_stop(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    name = ask(between, server, sender)
    for data in (b"", b"1", b"2"):
        server.sendto(data, name)
    between.relay.end_conversations()
    assert between.relay.drain()
    assert all_of(sender) == [b"", b"1", b"2"]


def test_a_stop_counts_every_answer_that_waits(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    sent = fill(between, server, ask(between, server, sender))
    between.relay.end_conversations()
    assert not between.relay.drain()
    assert between.relay.bytes_unwritten() == sent - len(b"".join(all_of(sender))) > 5


def test_a_stop_that_waits_for_a_sender_tells_when_it_has_read_and_sees_it_move(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    fill(between, server, ask(between, server, sender))
    between.relay.end_conversations()
    told: list[bool] = []
    between.relay.on_progress = lambda: told.append(between.relay.drain())
    before = between.relay.bytes_written()
    read_on(between, sender)
    assert told[-1] and between.relay.bytes_written() > before


def test_while_a_stop_waits_for_a_sender_nothing_spins_and_the_server_is_refused(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    name = ask(between, server, sender)
    for _ in range(50):  # its queue has room for eleven
        server.sendto(b"x", name)
        between.turn()
    between.listener.refuse_new()
    between.relay.end_conversations()
    assert between.loop._selector.select(0) == []  # type: ignore[attr-defined]
    with pytest.raises(BrokenPipeError):
        server.sendto(b"late", name)


def test_a_server_that_was_restarted_gets_the_next_datagram(between: Between) -> None:
    sender = between.bind("a")
    server = between.bind("s")
    between.send(sender, b"first")
    server.close()
    os.unlink(f"{between.directory}/s")
    server = between.bind("s")
    between.send(sender, b"second")
    assert (all_of(server), between.lost) == ([b"second"], [])


def test_a_server_that_ends_while_one_waits_is_told(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    with pytest.raises(BlockingIOError):
        while True:
            between.send(sender, b"x")
    server.close()
    between.loop.until(between.relay.drain)
    assert all(isinstance(error, AfunixError) for error in between.lost) and between.lost


def test_descriptors_go_both_ways_where_they_are_wanted(sock_dir: str, stack: ExitStack) -> None:
    between = Between(sock_dir, stack, passes_fds=True)
    server, sender = between.bind("s"), between.bind("a")
    before = len(os.listdir("/proc/self/fd"))
    sender.connect(f"{sock_dir}/r")
    socket.send_fds(sender, [b"x"], [0, 0])
    between.turn()
    data, fds, _, name = socket.recv_fds(server, 10, 5)
    assert (data, len(fds)) == (b"x", 2)
    server.connect(name)
    socket.send_fds(server, [b"y"], fds[:1])
    between.turn()
    data, more, _, _ = socket.recv_fds(sender, 10, 5)
    assert (data, len(more)) == (b"y", 1)
    for fd in fds + more:
        os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before + 1  # the sender's own socket here


def test_descriptors_that_nobody_wants_are_told(sock_dir: str, stack: ExitStack) -> None:
    between = Between(sock_dir, stack, passes_fds=False)  # the kernel lets them in
    server, sender = between.bind("s"), between.bind("a")
    sender.connect(f"{sock_dir}/r")
    socket.send_fds(sender, [b"x"], [0])
    between.send(sender, b"plain")
    assert all_of(server) == [b"plain"]
    assert [event.errno for event in between.alerts if isinstance(event, PairFailed)] == [errno.EOPNOTSUPP]
    assert between.relay.bytes_lost == 1


def test_who_is_not_allowed_is_not_passed_on(sock_dir: str, stack: ExitStack) -> None:
    between = Between(sock_dir, stack, rules=Rules([Rule.parse("any", allows=False, names=names)]))
    server = between.bind("s")
    between.send(between.bind("a"), b"x")
    assert all_of(server) == [] and isinstance(between.alerts[0], Refused)
