"""Datagrams reach the server whole and in order, answers find back to who asked, and nothing is dropped for want of room."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.loops import HandTurned

from afunix.kernel import names
from afunix.kernel.channel import Channel
from afunix.kernel.datagram_channel import ask_for_credentials
from afunix.kernel.listener import Listener
from afunix.model.address import Address
from afunix.model.errors import AfunixError, NoSuchSocketError
from afunix.model.events import Event, PairFailed, Refused
from afunix.model.rules import Rule, Rules
from afunix.sinks.datagram_relay import LONGEST_PAUSE_S, DatagramRelay


class Between:
    """A relay at `DIR/r` in front of a server at `DIR/s`; `lost` is why datagrams got no further."""

    def __init__(self, directory: str, stack: ExitStack, **options: object) -> None:
        self.directory = directory
        self.stack = stack
        self.loop = HandTurned()
        stack.callback(self.loop.close)
        self.listener = Listener.open(
            Address.parse(f"{directory}/r"), "dgram", configure=ask_for_credentials, accepts_fds=bool(options)
        )
        stack.callback(self.listener.close)
        self.lost: list[Exception] = []
        self.alerts: list[Event] = []
        settings = {"rules": Rules(), "max_senders": 100, **options}
        self.relay = DatagramRelay(
            [self.listener],
            Address.parse(f"{directory}/s"),
            self.loop,
            on_unreachable=self._on_unreachable,
            alerts=self.alerts.append,
            **settings,  # type: ignore[arg-type]
        )
        stack.callback(self.relay.close)
        self.relay.start()

    def _on_unreachable(self, channel: Channel, error: Exception) -> None:
        self.lost.append(error)

    def bind(self, name: str) -> socket.socket:
        sock = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        sock.setblocking(False)
        if name:
            sock.bind(f"{self.directory}/{name}")
        return sock

    def send(self, sender: socket.socket, data: bytes) -> None:
        sender.sendto(data, f"{self.directory}/r")
        self.loop.turn(2)

    def turn(self) -> None:
        self.loop.turn(3)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def between(sock_dir: str, stack: ExitStack) -> Between:
    return Between(sock_dir, stack)


def all_of(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(1 << 20))
        except BlockingIOError:
            return found


def test_datagrams_arrive_whole_and_in_order_also_empty_ones(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("")
    for data in (b"one", b"", b"x" * 100_000, b"two"):
        between.send(sender, data)
    assert all_of(server) == [b"one", b"", b"x" * 100_000, b"two"]
    assert between.relay.pairs.traffic() == (100_006, 0)


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


def test_a_named_sender_stays_the_same_to_the_server(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    between.send(sender, b"1")
    between.send(sender, b"2")
    assert server.recvfrom(10)[1] == server.recvfrom(10)[1]


def test_those_without_a_name_share_one_that_cannot_be_answered(between: Between) -> None:
    server = between.bind("s")
    for _ in range(3):
        between.send(between.bind(""), b"x")
        assert server.recvfrom(10) == (b"x", None)
    assert len(between.relay.pairs.pairs) == 1


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


def test_answers_wait_for_a_sender_whose_queue_is_full(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    between.send(sender, b"hello")
    name = server.recvfrom(10)[1]
    sent = 0
    for _ in range(1000):
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
    assert sent < 1000 and got == [b"%d" % number for number in range(sent)]


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


def test_a_server_that_is_not_there_is_told_and_the_datagram_counted(between: Between) -> None:
    between.send(between.bind("a"), b"abc")
    assert isinstance(between.lost[0], NoSuchSocketError)
    assert (between.relay.bytes_lost, between.relay.drain()) == (3, True)


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


def test_a_relay_to_itself_stops_at_the_first_round(between: Between) -> None:
    os.link(f"{between.directory}/r", f"{between.directory}/s")
    between.send(between.bind("a"), b"x")
    between.turn()
    assert [str(error) for error in between.lost] == [f"'{between.directory}/s' leads back to this relay"]
    assert between.relay.drain()


def test_a_long_datagram_gets_the_room_that_it_needs(between: Between) -> None:
    server, sender = between.bind("s"), between.bind("a")
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    between.send(sender, b"x" * 300_000)
    assert all_of(server) == [b"x" * 300_000]
