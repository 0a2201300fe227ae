"""Answers find back to who asked, the silent are forgotten, and nobody is forgotten with an answer in hand."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.datagram_relaying import Between, all_of, ask, fill, numbered, read_on, restart

from afunix.kernel import fallbacks
from afunix.sinks.datagram_sender import LONGEST_PAUSE_S


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def between(sock_dir: str, stack: ExitStack) -> Between:
    return Between(sock_dir, stack)


def test_each_answer_goes_to_who_asked(between: Between) -> None:
    server = between.bind("s")
    senders = [between.bind(name) for name in "abc"]
    for number, sender in enumerate(senders):
        between.send(sender, b"%d" % number)
    asked = [server.recvfrom(10) for _ in senders]
    assert len({name for _, name in asked}) == 3
    for data, name in reversed(asked):
        server.sendto(b"answer to " + data, name)
    between.turn()
    assert [all_of(sender) for sender in senders] == [[b"answer to %d" % number] for number in range(3)]
    assert between.relay.pairs.traffic() == (3, 33)


def test_those_without_a_name_share_one_that_cannot_be_answered(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = between.bind("s")
    names = set()
    for _ in range(3):
        between.send(between.bind(""), b"x")
        names.add(server.recvfrom(10)[1])
    (name,) = names
    assert name.startswith(b"\0afunix-relay/") and len(between.relay.pairs.pairs) == 1
    with pytest.raises(BrokenPipeError):
        server.sendto(b"answer", name)
    woken: list[object] = []
    monkeypatch.setattr(between.relay.pairs, "on_answers", woken.append)
    between.turn()
    assert not woken


def test_answers_of_a_server_that_was_restarted_come_before_those_of_the_new_one(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    sent = fill(between, server, ask(between, server, sender))
    server = restart(between, server)
    server.sendto(b"new", ask(between, server, sender))
    assert read_on(between, sender) == numbered(sent) + b"new"
    assert between.relay.bytes_unwritten() == 0


def test_answers_of_a_server_that_is_gone_still_arrive(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    sent = fill(between, server, ask(between, server, sender))
    server.close()
    between.send(sender, b"lost")
    assert read_on(between, sender) == numbered(sent)
    assert between.relay.bytes_unwritten() == 4
    assert not between.relay.pairs.pairs


def test_a_sender_for_whom_answers_wait_is_not_silent(sock_dir: str, stack: ExitStack) -> None:
    between = Between(sock_dir, stack, silence_s=0.01)
    server, sender = between.bind("s"), between.bind("a")
    sent = fill(between, server, ask(between, server, sender))
    for _ in range(100):
        between.loop.advance(0.009)
    assert read_on(between, sender) == numbered(sent)


def test_who_is_forgotten_gets_the_answers_that_are_there(sock_dir: str, stack: ExitStack) -> None:
    between = Between(sock_dir, stack, max_senders=1)
    server, sender, other = between.bind("s"), between.bind("a"), between.bind("b")
    server.sendto(b"answer", ask(between, server, sender))
    other.sendto(b"ask", f"{sock_dir}/r")
    between.relay._receive(between.relay._nears[0])  # before the loop sees the answer
    assert all_of(sender) == [b"answer"] and len(between.relay.pairs.pairs) == 1


def test_the_silent_get_the_answers_that_are_there(sock_dir: str, stack: ExitStack) -> None:
    between = Between(sock_dir, stack, silence_s=5.0)
    server, sender = between.bind("s"), between.bind("a")
    server.sendto(b"answer", ask(between, server, sender))
    between.loop.now += 6
    between.relay.pairs.forget_silent()
    assert all_of(sender) == [b"answer"] and not between.relay.pairs.pairs


def test_a_deaf_sender_that_makes_room_for_another_has_its_answers_counted(
    sock_dir: str, stack: ExitStack
) -> None:
    between = Between(sock_dir, stack, max_senders=1)
    server, sender = between.bind("s"), between.bind("a")
    sent = fill(between, server, ask(between, server, sender))
    between.send(between.bind("b"), b"x")
    got = len(b"".join(all_of(sender)))
    assert got + between.relay.bytes_unwritten() == sent > got


def test_a_sender_that_does_not_read_holds_up_nobody_else(between: Between) -> None:
    server, deaf, other = between.bind("s"), between.bind("a"), between.bind("b")
    between.send(deaf, b"hello")
    name = server.recvfrom(10)[1]
    for _ in range(50):  # its queue has room for eleven
        server.sendto(b"x", name)
        between.turn()
    between.send(other, b"ask")
    server.sendto(b"answer", server.recvfrom(10)[1])
    between.turn()
    assert all_of(other) == [b"answer"]


def connected(between: Between, name: str) -> socket.socket:
    """Nothing bounds its queue but the send buffer of whom it is connected to."""
    sock = between.bind(name)
    sock.connect(f"{between.directory}/r")
    return sock


@pytest.mark.parametrize("is_hidden", [False, True])
def test_one_that_is_connected_and_deaf_leaves_room_for_twenty_others(
    between: Between, is_hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_hidden:
        monkeypatch.setattr(fallbacks, "_forced", lambda: frozenset({"sock_diag"}))
    between.listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
    server, deaf = between.bind("s"), connected(between, "a")
    others = [connected(between, f"b{number}") for number in range(20)]
    name = ask(between, server, deaf)
    for number in range(150):
        server.sendto(b"%05d" % number + bytes(995), name)
        between.turn()
    for _ in range(10):
        names = [ask(between, server, other) for other in others]
        for each in names:
            server.sendto(b"x" * 1000, each)
        between.loop.advance(LONGEST_PAUSE_S)
        between.loop.advance(LONGEST_PAUSE_S)
        assert [all_of(other) for other in others] == [[b"x" * 1000]] * 20
    got = read_on(between, deaf)
    assert [int(got[at : at + 5]) for at in range(0, len(got), 1000)] == list(range(150))


def test_a_sender_that_has_gone_is_forgotten_with_its_answer(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    between.send(sender, b"x")
    sender.close()
    server.sendto(b"answer", server.recvfrom(10)[1])
    between.turn()
    assert not between.relay.pairs.pairs


def test_a_silent_sender_is_forgotten_and_comes_anew(sock_dir: str, stack: ExitStack) -> None:
    between = Between(sock_dir, stack, silence_s=5.0)
    server, sender = between.bind("s"), between.bind("a")
    between.send(sender, b"1")
    between.loop.advance(4)
    between.send(sender, b"2")
    between.loop.advance(4)
    assert len(between.relay.pairs.pairs) == 1
    between.loop.advance(2)
    assert not between.relay.pairs.pairs
    between.send(sender, b"3")
    assert all_of(server) == [b"1", b"2", b"3"]


def test_the_most_silent_makes_room_for_a_new_one(sock_dir: str, stack: ExitStack) -> None:
    between = Between(sock_dir, stack, max_senders=2)
    between.bind("s")
    a, b, c = (between.bind(name) for name in "abc")
    for sender in (a, b, a, c):
        between.send(sender, b"x")
    names = [str(sender.name)[-1] for sender in between.relay.pairs.pairs.values()]
    assert names == ["a", "c"]


@pytest.mark.parametrize("name", ["a", ""])
def test_a_relay_to_itself_stops_at_the_first_round(between: Between, name: str) -> None:
    os.link(f"{between.directory}/r", f"{between.directory}/s")
    between.send(between.bind(name), b"x")
    for _ in range(5):
        between.turn()
    assert [str(error) for error in between.lost] == [f"'{between.directory}/s' leads back to this relay"]
    assert (between.relay.pairs.traffic(), between.relay.bytes_lost) == ((1, 0), 1)
    assert between.relay.drain()


@pytest.mark.parametrize("name", ["a", ""])
@pytest.mark.parametrize(
    ("relays", "reason"),
    [
        (2, "'{}' leads back to this relay, through another one: a circle"),
        (9, "it came through 8 relays already, which is taken for a circle"),
    ],
)
def test_a_circle_of_relays_passes_a_datagram_round_once(
    sock_dir: str, stack: ExitStack, relays: int, reason: str, name: str
) -> None:
    places = [f"{sock_dir}/{number}" for number in range(relays)]
    for place in places:
        os.mkdir(place)
    circle = [Between(place, stack) for place in places]
    for relay, after in zip(circle, circle[1:] + circle[:1], strict=True):
        os.symlink(f"{after.directory}/r", f"{relay.directory}/s")
    circle[0].send(circle[0].bind(name), b"x")
    for _ in range(2):
        for relay in circle:
            relay.turn()
    lost = [(relay.directory, str(error)) for relay in circle for error in relay.lost]
    at = 0 if relays == 2 else 8
    assert lost == [(places[at], reason.format(f"{places[at]}/s"))]
    assert sum(relay.relay.bytes_lost for relay in circle) == 1
    assert max(len(relay.relay.pairs.pairs) for relay in circle) == 1
