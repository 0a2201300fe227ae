"""The one that `afunix fd` talks with: the first client that may enter, the first datagram, or a server."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from tests.servers import serving

from afunix.blocking.interruptible import Interruptible
from afunix.kernel import names
from afunix.kernel.interrupts import Interrupts
from afunix.kernel.peercred import refuse_descriptors
from afunix.model import events
from afunix.model.address import Address
from afunix.model.errors import PeerMismatchError, TimedOutError, WrongTypeError
from afunix.model.rules import Rule, Rules
from afunix.tools.one_peer import (
    UNWATCHED,
    Meeting,
    Watchers,
    connected,
    first_client,
    first_datagram,
    listening,
    must_have_clients,
)

ANYBODY = Rules()
NOT_ME = Rules([Rule.parse("me", allows=False, names=names)])


@pytest.fixture
def waits() -> Iterator[Interruptible]:
    with Interrupts() as interrupts:
        yield Interruptible(interrupts, 0.05)


def meeting(path: str, socket_type: str | None = None, rules: Rules = ANYBODY, takes: bool = True) -> Meeting:
    return Meeting(Address.parse(path), False, takes, socket_type=socket_type, rules=rules)


def client(path: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.connect(path)
    return sock


def test_the_first_client_is_the_one(sock_dir: str, waits: Interruptible) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with listening(meeting(path), UNWATCHED) as listener, client(path) as near:
        channel, peer = first_client(listener, meeting(path), waits, UNWATCHED)
        with closing(channel):
            near.sendall(b"hello")
            assert (channel.try_receive(9), peer.pid) == (b"hello", os.getpid())
    assert os.listdir(sock_dir) == []


def test_a_client_may_send_descriptors_from_the_first_instant(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    sent = []

    def send_at_once(event: events.Event) -> None:
        if isinstance(event, events.Listening):
            with client(path) as near:
                sent.append(socket.send_fds(near, [b"x"], [0]))

    with listening(meeting(path), Watchers(send_at_once)):
        assert sent == [1]


def test_an_inherited_listener_that_refused_descriptors_lets_them_in(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with socket.socket(socket.AF_UNIX) as bound:
        refuse_descriptors(bound)
        bound.bind(path)
        bound.listen()
        bound.setblocking(False)
        with listening(meeting(f"fd:{os.dup(bound.fileno())}"), UNWATCHED), client(path) as near:
            assert socket.send_fds(near, [b"x"], [0]) == 1


def test_who_may_not_enter_is_closed_and_told_of(sock_dir: str, waits: Interruptible) -> None:
    path = os.path.join(sock_dir, "x.sock")
    told: list[events.Event] = []
    where = meeting(path, rules=NOT_ME)
    with listening(where, UNWATCHED) as listener, client(path) as near:
        with pytest.raises(TimedOutError, match="nobody who may has connected to"):
            first_client(listener, where, waits, Watchers(alerts=told.append))
        assert near.recv(1) == b""
    assert [event.reason for event in told if isinstance(event, events.Refused)] == ["denied by 'me'"]


def test_a_datagram_of_who_may_not_send_is_passed_over(sock_dir: str, waits: Interruptible) -> None:
    path = os.path.join(sock_dir, "x.sock")
    where = meeting(path, "dgram", NOT_ME)
    with listening(where, UNWATCHED) as listener, client(path, socket.SOCK_DGRAM) as near:
        socket.send_fds(near, [b"x"], [0])
        with pytest.raises(TimedOutError):
            first_datagram(listener, where, waits, UNWATCHED, 253)


def test_a_datagram_comes_with_its_sender_and_its_descriptors(sock_dir: str, waits: Interruptible) -> None:
    path = os.path.join(sock_dir, "x.sock")
    where = meeting(path, "dgram")
    with listening(where, UNWATCHED) as listener, client(path, socket.SOCK_DGRAM) as near:
        socket.send_fds(near, [b"x"], [0, 1])
        with first_datagram(listener, where, waits, UNWATCHED, 253) as datagram:
            assert datagram.peer is not None
            assert (datagram.data, len(datagram.fds), datagram.peer.pid) == (b"x", 2, os.getpid())


def test_a_datagram_from_before_we_asked_who_sends_is_from_nobody_known(
    sock_dir: str, waits: Interruptible
) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound, ExitStack() as stack:
        bound.bind(path)
        near = stack.enter_context(client(path, socket.SOCK_DGRAM))
        near.send(b"x")
        where = meeting(f"fd:{os.dup(bound.fileno())}", "dgram")
        listener = stack.enter_context(listening(where, UNWATCHED))
        with first_datagram(listener, where, waits, UNWATCHED, 253) as datagram:
            assert datagram.peer is not None
            assert not datagram.peer.is_known


def test_nobody_can_be_waited_for_on_a_dgram_socket_to_send_to(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with pytest.raises(WrongTypeError), listening(meeting(path, "dgram", takes=False), UNWATCHED):
        pass
    assert os.listdir(sock_dir) == []


def test_a_server_that_is_somebody_else_is_left(sock_dir: str, waits: Interruptible) -> None:
    path = os.path.join(sock_dir, "x.sock")
    where = Meeting(Address.parse(path), True, False, require=f"user:{os.getuid() + 1}")
    with serving(path, lambda connection: connection.recv(1)) as server:
        with pytest.raises(PeerMismatchError):
            connected(where, waits, UNWATCHED)
        assert server.result() == b""


def test_nothing_comes_from_a_dgram_server(sock_dir: str, waits: Interruptible) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        where = Meeting(Address.parse(path), True, True)
        with closing(connected(where, waits, UNWATCHED)) as channel, pytest.raises(WrongTypeError):
            must_have_clients(channel, where.address)
