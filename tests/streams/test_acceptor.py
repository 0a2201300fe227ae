"""The accept path on real listeners: who is admitted, who waits, who is refused, and what a shortage costs."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
from tests.loops import HandTurned, faults_of

from afunix.kernel.channel import Channel
from afunix.kernel.listener import Listener
from afunix.kernel.names import gid_of, own_uid, uid_of
from afunix.model.address import Address
from afunix.model.events import Accepted, AcceptPaused, AcceptResumed, Event, Refused
from afunix.model.rules import Rule, Rules
from afunix.streams import acceptor as module
from afunix.streams.acceptor import Acceptor


class Names:
    """The system's names for rules."""

    uid_of = staticmethod(uid_of)
    gid_of = staticmethod(gid_of)
    own_uid = staticmethod(own_uid)


class Door:
    """One listener, its acceptor, who came in, and what was told."""

    def __init__(self, loop: HandTurned, path: str, stack: ExitStack) -> None:
        self.loop = loop
        self.path = path
        self.stack = stack
        self.inside: list[Channel] = []
        self.seen: list[Event] = []
        self.alerts: list[Event] = []
        self.listener = Listener.open(Address.pathname(path))
        stack.callback(self.listener.close)
        self.on_channel: Callable[[Channel], None] = self.inside.append

    def open(self, **options: Any) -> Acceptor:
        acceptor = Acceptor(
            [self.listener],
            lambda channel: self.on_channel(channel),
            self.loop,
            observer=self.seen.append,
            alerts=self.alerts.append,
            **options,
        )
        self.stack.callback(acceptor.close)
        acceptor.start()
        return acceptor

    def knock(self, times: int = 1) -> list[socket.socket]:
        """Clients that connect; they are closed at the end of the test."""
        clients = [self.stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(times)]
        for client in clients:
            client.connect(self.path)
        return clients

    def leave(self, acceptor: Acceptor, channel: Channel) -> None:
        """A client goes: what a sink does."""
        self.inside.remove(channel)
        acceptor.release(channel)
        channel.close()


@pytest.fixture
def door(loop: HandTurned, sock_dir: str) -> Iterator[Door]:
    with ExitStack() as stack:
        door = Door(loop, f"{sock_dir}/s", stack)
        yield door
        for channel in door.inside:
            channel.close()


def rules(*written: str) -> Rules:
    """`+any` allows, `-any` denies."""
    return Rules([Rule.parse(each[1:], allows=each[0] == "+", names=Names) for each in written])


def is_closed_by_server(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False


# Who comes in


def test_client_is_handed_over_in_the_turn_in_which_it_came(loop: HandTurned, door: Door) -> None:
    acceptor = door.open()
    (client,) = door.knock()
    client.send(b"hello")
    loop.turn()
    (channel,) = door.inside
    assert channel.try_receive(99) == b"hello"
    assert (channel.connection, channel.peer.pid, channel.peer.uid) == (1, os.getpid(), os.getuid())
    assert (acceptor.accepted, acceptor.live, acceptor.refused) == (1, 1, 0)


def test_accepted_is_told_before_the_client_is_handed_over(loop: HandTurned, door: Door) -> None:
    told: list[int] = []

    def note(channel: Channel) -> None:
        told.append(len(door.seen))
        door.inside.append(channel)

    door.on_channel = note
    door.open()
    door.knock()
    loop.turn()
    (event,) = door.seen
    assert isinstance(event, Accepted)
    assert (event.fd, event.listener, event.connection) == (door.inside[0].fd, door.listener.fd, 1)
    assert told == [1]


def test_accepted_descriptor_is_close_on_exec(loop: HandTurned, door: Door) -> None:
    door.open()
    door.knock()
    loop.turn()
    assert not os.get_inheritable(door.inside[0].fd)


def test_held_door_lets_nobody_in_until_it_is_let_go_and_is_told_once(loop: HandTurned, door: Door) -> None:
    acceptor = door.open()
    for _ in range(2):
        acceptor.hold(OSError(errno.EMFILE, "Too many open files"))
    door.knock()
    loop.turn(3)
    assert (door.inside, [type(event) for event in door.alerts]) == ([], [AcceptPaused])
    acceptor.let_go()
    acceptor.let_go()
    loop.turn(2)
    assert len(door.inside) == 1
    assert isinstance(door.alerts[-1], AcceptResumed)


def test_out_of_band_byte_stays_in_its_place(loop: HandTurned, door: Door) -> None:
    door.open()
    (client,) = door.knock()
    loop.turn()
    client.send(b"ab")
    client.send(b"!", socket.MSG_OOB)
    client.send(b"cd")
    (channel,) = door.inside
    got = b""
    while piece := channel.try_receive(99):
        got += piece
    assert got == b"ab!cd"


def test_crowd_is_taken_in_batches(loop: HandTurned, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    door.open()
    door.knock(10)
    loop.turn()
    assert len(door.inside) == 4
    loop.turn(2)
    assert [channel.connection for channel in door.inside] == list(range(1, 11))


def test_several_listeners_share_one_count(loop: HandTurned, door: Door, sock_dir: str) -> None:
    with closing(Listener.open(Address.pathname(f"{sock_dir}/t"))) as other:
        acceptor = Acceptor([door.listener, other], door.inside.append, loop, max_clients=2)
        with closing(acceptor):
            acceptor.start()
            door.knock(2)
            door.path = f"{sock_dir}/t"
            door.knock(2)
            loop.turn(3)
            assert len(door.inside) == acceptor.live == 2


def test_client_that_left_before_it_was_accepted_is_handed_over_with_its_bytes(
    loop: HandTurned, door: Door
) -> None:
    door.open()
    (client,) = door.knock()
    client.send(b"x")
    client.close()
    loop.turn()
    assert [channel.try_receive(9) for channel in door.inside * 2] == [b"x", b""]


# Pauses and limits


def test_pause_leaves_clients_in_the_backlog(loop: HandTurned, door: Door) -> None:
    acceptor = door.open()
    acceptor.pause()
    door.knock(3)
    loop.turn(3)
    assert door.inside == []
    acceptor.start()
    loop.turn()
    assert len(door.inside) == 3


def test_pause_from_within_the_first_client_takes_no_second(loop: HandTurned, door: Door) -> None:
    acceptor = door.open()

    def take_one(channel: Channel) -> None:
        door.inside.append(channel)
        acceptor.pause()

    door.on_channel = take_one
    door.knock(3)
    loop.turn(3)
    assert len(door.inside) == 1


def test_above_max_clients_they_wait_and_are_not_refused(loop: HandTurned, door: Door) -> None:
    acceptor = door.open(max_clients=2)
    clients = door.knock(4)
    loop.turn(5)
    assert (acceptor.live, acceptor.refused) == (2, 0)
    assert not any(map(is_closed_by_server, clients))
    (paused,) = door.alerts
    assert isinstance(paused, AcceptPaused)
    assert (paused.errno, paused.reason) == (0, "2 clients are connected, the limit")


def test_place_that_is_free_again_goes_to_the_first_who_waits(loop: HandTurned, door: Door) -> None:
    acceptor = door.open(max_clients=1)
    for number, client in enumerate(door.knock(3)):
        client.send(b"%d" % number)
    for number in range(3):
        loop.turn(2)
        (channel,) = door.inside
        assert channel.try_receive(9) == b"%d" % number
        door.leave(acceptor, channel)
    assert acceptor.live == 0
    # While the last one is served nobody waits, and nothing is worth telling.
    assert [type(alert) for alert in door.alerts] == [AcceptPaused, AcceptResumed] * 2


def test_client_that_is_over_at_once_leaves_its_place_in_the_same_turn(loop: HandTurned, door: Door) -> None:
    acceptor = door.open(max_clients=1)

    def serve_at_once(channel: Channel) -> None:
        acceptor.release(channel)
        channel.close()

    door.on_channel = serve_at_once
    door.knock(5)
    loop.turn()
    assert (acceptor.accepted, acceptor.live, door.alerts) == (5, 0, [])


def test_above_max_per_user_they_are_closed_unread_and_told(loop: HandTurned, door: Door) -> None:
    acceptor = door.open(max_per_user=2)
    clients = door.knock(4)
    clients[3].send(b"unread")
    loop.turn(2)
    assert [is_closed_by_server(client) for client in clients] == [False, False, True, True]
    assert (acceptor.live, acceptor.refused) == (2, 2)
    refused = door.alerts[0]
    assert isinstance(refused, Refused)
    assert refused.reason == f"uid {os.getuid()} has 2 connections, the limit is 2"


def test_place_of_a_user_is_free_again_when_he_leaves(loop: HandTurned, door: Door) -> None:
    acceptor = door.open(max_per_user=1)
    for _ in range(3):
        door.knock()
        loop.turn()
        door.leave(acceptor, door.inside[0])
    assert (acceptor.accepted, acceptor.refused) == (3, 0)


# Rules


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (["-me"], "denied by 'me'"),
        (["+any", "-me"], "denied by 'me'"),
        (["+user:4294967294"], "no rule allows it"),
        (["+any", "-group:{gid}"], "denied by 'group:{gid}'"),
    ],
)
def test_rule_refuses(loop: HandTurned, door: Door, written: list[str], reason: str) -> None:
    acceptor = door.open(rules=rules(*(each.format(gid=os.getgid()) for each in written)))
    (client,) = door.knock()
    loop.turn()
    assert is_closed_by_server(client)
    assert (acceptor.refused, acceptor.accepted, acceptor.live, door.inside) == (1, 0, 0, [])
    (refused,) = door.alerts
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.peer.pid) == (reason.format(gid=os.getgid()), os.getpid())


def test_rules_admit_by_user_and_by_group(loop: HandTurned, door: Door) -> None:
    door.open(rules=rules("+user:4294967294", f"+group:{os.getgid()}"))
    door.knock()
    loop.turn()
    assert len(door.inside) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="setgroups needs root")
def test_supplementary_group_admits(loop: HandTurned, door: Door) -> None:
    acceptor = door.open(rules=rules("+group:54321"))
    door.knock()
    loop.turn()
    assert acceptor.refused == 1
    before = os.getgroups()
    os.setgroups([*before, 54321])
    try:
        door.knock()
        loop.turn()
    finally:
        os.setgroups(before)
    assert acceptor.accepted == 1


def test_refused_client_takes_no_place_of_its_user(loop: HandTurned, door: Door) -> None:
    acceptor = door.open(rules=rules("-me"), max_per_user=1)
    door.knock(3)
    loop.turn()
    reasons = [alert.reason for alert in door.alerts if isinstance(alert, Refused)]
    assert reasons == ["denied by 'me'"] * 3
    assert acceptor.refused == 3


# What goes wrong


@pytest.mark.parametrize("options", [{}, {"max_per_user": 5}, {"max_clients": 1}])
def test_error_in_on_channel_closes_the_client_and_leaks_nothing(
    loop: HandTurned, door: Door, options: dict[str, int]
) -> None:
    def fail(channel: Channel) -> None:
        raise ZeroDivisionError

    acceptor = door.open(**options)
    door.on_channel = fail
    descriptors = len(os.listdir("/proc/self/fd"))
    (client,) = door.knock()
    (fault,) = faults_of(loop, 2)
    assert isinstance(fault, ZeroDivisionError)
    assert is_closed_by_server(client)
    assert acceptor.live == 0
    assert len(os.listdir("/proc/self/fd")) == descriptors + 1  # the client's own
    door.on_channel = door.inside.append
    door.knock()
    loop.turn(2)
    assert len(door.inside) == 1


def test_error_in_on_channel_gives_back_the_place_of_the_user_even_if_nobody_observes(
    loop: HandTurned, door: Door
) -> None:
    def fail_once(channel: Channel) -> None:
        door.on_channel = door.inside.append
        raise ZeroDivisionError

    door.on_channel = fail_once
    with closing(Acceptor([door.listener], lambda c: door.on_channel(c), loop, max_per_user=1)) as acceptor:
        acceptor.start()
        door.knock()
        (fault,) = faults_of(loop, 2)
        assert isinstance(fault, ZeroDivisionError)
        door.knock()
        loop.turn(2)
        assert (len(door.inside), acceptor.refused, acceptor.live) == (1, 0, 1)


def test_channel_that_cannot_be_made_leaks_no_descriptor_and_no_place(loop: HandTurned, door: Door) -> None:
    failures = [ZeroDivisionError()]

    def make(sock: socket.SocketType, connection: int) -> Channel:
        if failures:
            raise failures.pop()
        return Channel(sock, connection)

    acceptor = door.open(make_channel=make, max_per_user=1)
    door.knock()
    assert [type(fault) for fault in faults_of(loop, 2)] == [ZeroDivisionError]
    door.knock()
    loop.turn(2)
    assert (acceptor.live, acceptor.refused) == (1, 0)


@contextmanager
def accept_fails(door: Door, monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[list[int]]:
    """accept(2) fails with `number`; the list grows with each call."""
    calls: list[int] = []

    def fail() -> Any:
        calls.append(number)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(door.listener, "accept_named", fail)
        yield calls


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Nothing can be opened in this process for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Below every free number, also those between the open ones.
    free = next(fd for fd in range(1 << 20) if not os.path.exists(f"/proc/self/fd/{fd}"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_out_of_descriptors_is_told_once_and_service_resumes_by_itself(loop: HandTurned, door: Door) -> None:
    acceptor = door.open()
    door.knock(3)
    with no_descriptors_left():
        for _ in range(20):
            loop.advance(0.2)
    (paused,) = door.alerts
    assert isinstance(paused, AcceptPaused)
    assert (paused.errno, paused.reason) == (errno.EMFILE, "Too many open files (EMFILE)")
    assert (door.inside, acceptor.shortage) == ([], errno.EMFILE)
    loop.advance(0.25)  # the longest that service may take to resume
    assert len(door.inside) == 3
    assert [type(alert) for alert in door.alerts] == [AcceptPaused, AcceptResumed]


def test_each_shortage_is_told_once(loop: HandTurned, door: Door) -> None:
    door.open()
    for _ in range(2):
        door.knock()
        with no_descriptors_left():
            loop.turn(5)
        loop.advance(0.25)
    assert [type(alert) for alert in door.alerts] == [AcceptPaused, AcceptResumed] * 2
    assert len(door.inside) == 2


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_shortage_is_not_a_spin(
    loop: HandTurned, door: Door, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    door.open()
    door.knock()
    with accept_fails(door, monkeypatch, number) as calls:
        loop.turn(500)
        assert len(calls) == 1
        for _ in range(1000):  # ten seconds
            loop.advance(0.01)
        assert 40 <= len(calls) <= 60
    loop.advance(0.25)
    assert len(door.inside) == 1


def test_client_that_leaves_ends_the_wait_at_once(
    loop: HandTurned, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    acceptor = door.open()
    door.knock()
    loop.turn()
    door.knock()
    with accept_fails(door, monkeypatch, errno.EMFILE):
        loop.turn(3)
    door.leave(acceptor, door.inside[0])
    loop.turn(2)
    assert len(door.inside) == 1
    assert acceptor.accepted == 2


def test_pause_during_a_shortage_holds_when_it_is_over(
    loop: HandTurned, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    acceptor = door.open()
    door.knock()
    with accept_fails(door, monkeypatch, errno.EMFILE):
        loop.turn(2)
        acceptor.pause()
    loop.advance(1.0)
    assert door.inside == []
    acceptor.start()
    loop.turn()
    assert len(door.inside) == 1


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM])
def test_client_that_spoils_its_own_accept_is_nothing(
    loop: HandTurned, door: Door, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    door.open(on_fault=lambda error: pytest.fail(str(error)))
    door.knock()
    with accept_fails(door, monkeypatch, number):
        loop.turn()
    loop.turn()
    assert (len(door.inside), door.alerts) == (1, [])


def test_anything_else_is_told_and_nothing_is_accepted_any_more(
    loop: HandTurned, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[OSError] = []
    door.open(on_fault=faults.append)
    door.knock()
    with accept_fails(door, monkeypatch, errno.ENOTSOCK) as calls:
        loop.turn(10)
        assert (len(calls), [fault.errno for fault in faults]) == (1, [errno.ENOTSOCK])


# The stop


def test_who_waits_after_shut_rd_is_still_taken_whatever_the_limits(loop: HandTurned, door: Door) -> None:
    acceptor = door.open(max_clients=1)
    for client in door.knock(3):
        client.send(b"hello")
    loop.turn()
    acceptor.pause()
    door.listener.refuse_new()
    with pytest.raises(ConnectionRefusedError):
        door.knock()
    assert acceptor.accept_queued()
    assert [channel.try_receive(9) for channel in door.inside] == [b"hello"] * 3
    assert acceptor.accept_queued()


def test_stop_says_when_descriptors_ran_out_before_the_end(loop: HandTurned, door: Door) -> None:
    acceptor = door.open()
    door.knock(2)
    acceptor.pause()
    door.listener.refuse_new()
    with no_descriptors_left():
        assert not acceptor.accept_queued()
    assert acceptor.accept_queued()
    assert len(door.inside) == 2


def test_queue_of_an_inherited_listener_is_left_to_its_next_holder(
    loop: HandTurned, door: Door, sock_dir: str
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/i")
        sock.listen()
        listener = Listener.take(Address.pathname(f"{sock_dir}/i"), sock)
        with closing(Acceptor([listener], door.inside.append, loop)) as acceptor:
            door.path = f"{sock_dir}/i"
            door.knock()
            assert acceptor.accept_queued()
            assert door.inside == []


def test_close_leaves_no_reader_and_no_timer(
    loop: HandTurned, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    acceptor = door.open()
    door.knock()
    with accept_fails(door, monkeypatch, errno.EMFILE):
        loop.turn(2)
    acceptor.close()
    acceptor.close()
    loop.advance(5.0)
    assert door.inside == []


def test_shortage_is_told_once_an_episode_to_whoever_must_act(loop: HandTurned, door: Door) -> None:
    told: list[OSError] = []
    door.open(on_shortage=told.append)
    for _ in range(2):
        door.knock()
        with no_descriptors_left():
            for _ in range(5):
                loop.advance(0.2)
        loop.advance(0.25)
    assert [error.errno for error in told] == [errno.EMFILE] * 2


def test_client_that_leaves_after_the_loop_was_closed_is_no_error(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    acceptor = door.open(max_clients=1)
    door.knock(2)
    door.loop.turn(2)
    acceptor.close()
    acceptor.start()
    door.loop.close()
    door.leave(acceptor, door.inside[0])


def test_a_rule_that_fails_leaves_no_descriptor(
    loop: HandTurned, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(sock: socket.socket) -> None:
        taken.append(sock)
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    taken: list[socket.socket] = []  # kept: nothing is closed by being forgotten
    monkeypatch.setattr(module, "peer_credentials", fail)
    door.open(rules=rules("+any"))
    door.knock()
    assert [type(fault) for fault in faults_of(loop)] == [OSError]
    assert [sock.fileno() for sock in taken] == [-1]


def test_a_start_without_descriptors_changes_nothing_and_can_be_ended(
    loop: HandTurned, door: Door, sock_dir: str
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/i")
        sock.listen()
        sock.setblocking(False)
        inherited = Listener.take(Address.pathname(f"{sock_dir}/i"), sock)
        with closing(Acceptor([door.listener, inherited], door.inside.append, loop)) as acceptor:
            with no_descriptors_left():
                with pytest.raises(OSError, match="Too many open files"):
                    acceptor.start()
                door.stack.callback(acceptor.close)
                acceptor.pause()
            acceptor.start()
            door.knock()
            loop.turn()
            assert len(door.inside) == 1


def test_what_a_forked_child_closes_is_its_own_and_a_place_that_is_free_opens_nothing(
    loop: HandTurned, door: Door, sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/i")
        sock.listen()
        sock.setblocking(False)
        listener = Listener.take(Address.pathname(f"{sock_dir}/i"), sock)
        acceptor = Acceptor([listener], door.inside.append, loop, max_clients=1)
        acceptor.start()
        (epoll,) = acceptor._epolls.values()
        (watched,) = acceptor._watched
        acceptor._full = True
        acceptor.live = 1
        with monkeypatch.context() as patch:  # the loop of the parent
            for name in ("add_reader", "remove_reader"):
                patch.setattr(loop, name, lambda *args: pytest.fail("the parent's"))
            acceptor.close_copies()
            acceptor.release(None)  # type: ignore[arg-type]
        assert epoll.closed
        loop.remove_reader(watched)
