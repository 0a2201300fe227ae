"""Standing in between: every byte both ways, one pair that stalls, descriptors, relays that lead to themselves, servers
that die. Rows 47, 49, 52, 53.
"""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import pytest
from tests.faults import strangers
from tests.faults.running import (
    Relay,
    Serve,
    becomes_quiet,
    connected,
    descriptors,
    litter,
    proportional_bytes,
    until,
)
from tests.faults.scale import scaled
from tests.faults.users import User
from tests.program import PATIENCE_S, ended
from tests.servers import read_all, serving
from tests.sharing import can_refuse
from tests.tcp_servers import free_port

from afunix.kernel.pipes import MOST_PIPES

BULK_BYTES = scaled(32 << 20, 10 << 30)
AT_REST = 10 + 2 * MOST_PIPES
"""Descriptors of a relay without clients, and the pipes that it keeps for the next ones."""

MODES = pytest.mark.parametrize("fallback", ["", "splice"])


def by_unix(place: str) -> list[str]:
    return [f"{place}/r", f"{place}/s"]


def by_tcp(place: str) -> list[str]:
    return [f"{place}/r", f"tcp:127.0.0.1:{free_port()}", f"{place}/s"]


Way = Callable[[str], list[str]]
WAYS = pytest.mark.parametrize("way", [by_unix, by_tcp])


@contextmanager
def relays(user: User, stops: list[str], *options: str, fallback: str = "") -> Iterator[list[Relay]]:
    """One from each of the `stops` to the next."""
    env = {"AFUNIX_FORCE_FALLBACK": fallback}
    with ExitStack() as stack:
        yield [
            stack.enter_context(Relay(user, *options, one, other, env=dict(env)))
            for one, other in pairwise(stops)
        ]


def is_at_rest(relay: Relay) -> bool:
    return descriptors(relay.pid) <= AT_REST


# 47: all bytes, both ways at once, and each end by itself


@WAYS
@MODES
def test_random_bytes_both_ways_at_once_are_the_same_at_the_other_end(
    user: User, place: str, way: Way, fallback: str
) -> None:
    size, patience_s = str(BULK_BYTES), PATIENCE_S * scaled(3, 60)
    with (
        strangers.listening("answer", user.uid, f"{place}/s", size) as server,
        relays(user, way(place), "-v", fallback=fallback) as between,
        strangers.running("talk", user.uid, f"{place}/r", size) as client,
    ):
        ours, theirs = (strangers.finish(each, patience_s) for each in (client, server))
        ends = [each.stop() for each in between]
    assert (ours["received"], theirs["received"]) == (theirs["sent"], ours["sent"])
    assert (ours["count"], theirs["count"]) == (BULK_BYTES, BULK_BYTES)
    for end in ends:
        assert (end.status, end.out) == (0, b"")
        assert f"client 1 left: {size} bytes up, {size} down" in end.err


@WAYS
@MODES
@pytest.mark.parametrize("is_client_first", [True, False])
def test_each_half_close_is_passed_on_while_the_other_half_goes_on(
    user: User, place: str, way: Way, fallback: str, is_client_first: bool
) -> None:
    """Whoever is second sends only after he has seen the end of the first one, and more than fits in between."""
    data = random.Random(1).randbytes(4 << 20)

    def end_first(sock: socket.socket) -> bytes:
        sock.sendall(b"first")
        sock.shutdown(socket.SHUT_WR)
        return read_all(sock)

    def end_second(sock: socket.socket) -> bytes:
        assert read_all(sock) == b"first"
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return data

    acts = [end_first, end_second] if is_client_first else [end_second, end_first]
    with (
        serving(f"{place}/s", acts[1]) as server,
        relays(user, way(place), fallback=fallback) as between,
    ):
        os.chmod(f"{place}/s", 0o666)
        with connected(f"{place}/r") as client:
            assert acts[0](client) == data
            assert server.result() == data
        assert [each.stop().status for each in between] == [0] * len(between)


# 49: one pair that stalls


def fill(socks: list[socket.socket], *pids: int) -> list[bytes]:
    """Send at each until nothing more goes in anywhere on the way, and nobody spins; what was sent."""
    block = random.Random(2).randbytes(1 << 16)
    sent = {sock: bytearray() for sock in socks}
    for sock in socks:
        sock.setblocking(False)
    while writable := select.select([], socks, [], 0.3)[1]:
        for sock in writable:
            sent[sock] += block[: sock.send(block)]
    assert all(becomes_quiet(pid) for pid in pids)
    for sock in socks:
        sock.settimeout(PATIENCE_S)
    return [bytes(sent[sock]) for sock in socks]


def exactly(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count and (piece := sock.recv(count - len(data))):
        data += piece
    return bytes(data)


@pytest.mark.parametrize(
    ("fallback", "options"),
    [("", ()), ("splice", ()), ("passrights", ()), ("", ("--pass-fds",))],
    ids=["splicing", "copying", "watching", "passing"],
)
@pytest.mark.parametrize("count", [1, 30])
def test_pairs_that_stall_hold_up_nobody_and_take_little_memory(
    user: User, place: str, fallback: str, options: tuple[str, ...], count: int
) -> None:
    """30 are more than there are pipes to be held. What the others have moved is not kept either."""
    data = random.Random(3).randbytes(1 << 16)
    with (
        Serve(user, "--echo", f"{place}/s") as server,
        relays(user, by_unix(place), *options, fallback=fallback) as (relay,),
        ExitStack() as stack,
    ):
        before = proportional_bytes(relay.pid)
        early = [stack.enter_context(connected(f"{place}/r")) for _ in range(scaled(50, 500))]
        stalled = [stack.enter_context(connected(f"{place}/r")) for _ in range(count)]
        sent = fill(stalled, relay.pid, server.pid)
        late = [stack.enter_context(connected(f"{place}/r")) for _ in range(scaled(49, 499))]
        for _ in range(5):
            for each in (*early, *late):
                each.sendall(data)
            for each in (*early, *late):
                assert exactly(each, len(data)) == data
        bulk = strangers.act("talk", user.uid, f"{place}/r", str(scaled(16 << 20, 1 << 30)))
        assert bulk["received"] == bulk["sent"]
        assert proportional_bytes(relay.pid) - before <= scaled(8 << 20, 16 << 20)
        for each, all_of_it in zip(stalled, sent, strict=True):
            each.shutdown(socket.SHUT_WR)
            assert read_all(each) == all_of_it
        stack.close()
        until(lambda: is_at_rest(relay), "all are gone")
        assert relay.stop().status == 0


# 52: descriptors in the stream

MESSAGES = scaled(1000, 10_000)


@contextmanager
def between(user: User, place: str, *options: str, fallback: str = "") -> Iterator[Between]:
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as stack:
        listener.bind(f"{place}/s")
        os.chmod(f"{place}/s", 0o666)
        listener.listen()
        (relay,) = stack.enter_context(relays(user, by_unix(place), *options, fallback=fallback))
        yield Between(f"{place}/r", listener, relay)


class Between:
    """A relay whose both sides are ours."""

    def __init__(self, path: str, listener: socket.socket, relay: Relay) -> None:
        self._path = path
        self._listener = listener
        self.relay = relay

    @contextmanager
    def pair(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A client, and the server's end of its connection."""
        with connected(self._path) as client, self._listener.accept()[0] as server:
            server.settimeout(PATIENCE_S)
            yield client, server

    def until_at_rest(self) -> None:
        until(lambda: is_at_rest(self.relay), "no descriptor is left")


@pytest.mark.skipif(not can_refuse(), reason="the kernel refuses descriptors since Linux 6.16")
@MODES
def test_unasked_every_descriptor_is_refused_at_its_sender_and_the_bytes_go_on(
    user: User, place: str, fallback: str
) -> None:
    with between(user, place, "-q", fallback=fallback) as it:
        with it.pair() as (client, server):
            for sender, receiver in ((client, server), (server, client)):
                for number in range(MESSAGES):
                    with pytest.raises(PermissionError):
                        socket.send_fds(sender, [b"with one"], [0, 1])
                    sender.sendall(b"%06d" % number)
                    if number % 100 == 99:
                        expected = b"".join(b"%06d" % n for n in range(number - 99, number + 1))
                        assert exactly(receiver, len(expected)) == expected
        it.until_at_rest()
        end = it.relay.stop()
    assert (end.status, end.err) == (0, "")


def test_where_the_kernel_refuses_none_the_pair_ends_loudly_each_time(user: User, place: str) -> None:
    with between(user, place, fallback="passrights") as it:
        for number in range(MESSAGES // 20):
            with it.pair() as (client, server):
                sender, receiver = (client, server) if number % 2 else (server, client)
                sender.sendall(b"before")
                assert exactly(receiver, 6) == b"before"
                socket.send_fds(sender, [b"with one"], [0, 1])
                assert receiver.recv(100) == b""
                with pytest.raises(ConnectionResetError):
                    sender.recv(100)
        it.until_at_rest()
        end = it.relay.stop()
    assert "descriptors were sent, and none are passed on" in end.err


def test_descriptors_come_with_the_byte_that_they_were_sent_with(user: User, place: str) -> None:
    """Many plain bytes, few, or none before them; one, some, or as many as go in a message."""
    chance = random.Random(4)
    kinds = [os.memfd_create(f"number {number}") for number in range(8)]
    inodes = [os.fstat(fd).st_ino for fd in kinds]
    plan = [
        (
            random.Random(number).randbytes(chance.choice([0, 0, 1, 17, 4096, 70_000])),
            chance.choices(range(len(kinds)), k=chance.choice([1, 1, 2, 5, 253])),
            random.Random(-number).randbytes(chance.choice([1, 2, 300])),
        )
        for number in range(MESSAGES)
    ]

    def send(sock: socket.socket) -> None:
        for plain, chosen, data in plan:
            sock.sendall(plain)
            assert socket.send_fds(sock, [data], [kinds[each] for each in chosen]) == len(data)
        sock.shutdown(socket.SHUT_WR)

    try:
        with between(user, place, "-q", "--pass-fds") as it:
            with it.pair() as pair:
                for sender, receiver in (pair, pair[::-1]):
                    sending = threading.Thread(target=send, args=(sender,))
                    sending.start()
                    for plain, chosen, data in plan:
                        assert receive(receiver, len(plain)) == (plain, [])
                        assert receive(receiver, 1) == (data[:1], [inodes[each] for each in chosen])
                        assert receive(receiver, len(data) - 1) == (data[1:], [])
                    assert receiver.recv(1) == b""
                    sending.join()
            it.until_at_rest()
            end = it.relay.stop()
    finally:
        for fd in kinds:
            os.close(fd)
    assert (end.status, end.err) == (0, "")


def receive(sock: socket.socket, count: int) -> tuple[bytes, list[int]]:
    """Exactly so many bytes, and the inodes of the descriptors that came with them."""
    data, inodes = bytearray(), []
    while len(data) < count:
        piece, fds, flags, _ = socket.recv_fds(sock, count - len(data), 253)
        assert piece and not flags & socket.MSG_CTRUNC
        data += piece
        for fd in fds:
            inodes.append(os.fstat(fd).st_ino)
            os.close(fd)
    return bytes(data), inodes


def test_descriptors_of_a_pair_that_breaks_are_closed(user: User, place: str) -> None:
    """They are under way at all places when both ends go: what is open at the end would stay open for ever."""
    with between(user, place, "--pass-fds") as it:
        for _ in range(scaled(10, 100)):
            reading, writing = os.pipe()
            with it.pair() as (client, server), os.fdopen(reading, "rb") as watched:
                client.setblocking(False)
                while select.select([], [client], [], 0.1)[1]:
                    socket.send_fds(client, [b"x" * 4000], [writing])
                os.close(writing)
                assert becomes_quiet(it.relay.pid)
                client.close()
                server.close()
                assert select.select([watched], [], [], PATIENCE_S)[0], "somebody still holds the other end"
                assert watched.read() == b""
        it.until_at_rest()


# 53: a relay that leads to itself


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_relay_to_its_own_path_is_refused_and_nothing_is_left(
    user: User, place: str, link: Callable[[str, str], None] | None
) -> None:
    """Seen by the stale socket that is there before it."""
    before = []
    to = f"{place}/s"
    if link is not None:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(f"{place}/s")
        to = f"{place}/link"
        link(f"{place}/s", to)
        before = ["link", "s"]
    end = ended(user.start("relay", f"{place}/s", to, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE))
    assert (end.status, end.err.count("\n"), litter(place)) == (2, 2, before)
    assert "it would connect to itself" in end.err


@contextmanager
def neighbour(user: User, place: str) -> Iterator[Callable[[], None]]:
    """Another service with its relay; what is given asks whether it still answers."""
    with Serve(user, "--echo", f"{place}/other"), Relay(user, f"{place}/to", f"{place}/other") as relay:

        def ask() -> None:
            client.sendall(b"are you there")
            assert exactly(client, 13) == b"are you there"
            said = strangers.act("say", user.uid, f"{place}/to", "and for others")
            assert said == {"answer": "and for others"}

        with connected(f"{place}/to") as client:
            ask()
            yield ask
            ask()
        assert relay.stop().status == 0


def knock_and_be_sent_away(path: str) -> None:
    with connected(path) as client:
        try:
            client.sendall(b"hello")
            assert client.recv(1) == b""
        except ConnectionError:
            pass  # for what it said


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_client_of_a_relay_that_a_link_leads_back_to_is_sent_away(
    user: User, place: str, link: Callable[[str, str], None]
) -> None:
    with neighbour(user, place) as ask, Relay(user, f"{place}/s", f"{place}/link") as relay:
        link(f"{place}/s", f"{place}/link")
        for _ in range(20):
            knock_and_be_sent_away(f"{place}/s")
        ask()
        until(lambda: is_at_rest(relay), "no connection is left")
        assert becomes_quiet(relay.pid)
        end = relay.stop()
    assert end.status == 0
    assert "leads back to this relay" in end.err
    assert end.err.count("\n") <= 6


@pytest.mark.parametrize("length", [2, 3, 12])
def test_client_of_a_ring_of_relays_is_sent_away(user: User, place: str, length: int) -> None:
    """12 are more than the way can be told of."""
    ring = [f"{place}/{number}" for number in range(length)]
    with neighbour(user, place) as ask, relays(user, [*ring, ring[0]]) as ring_of_them:
        for path in ring[:2] * 5:
            knock_and_be_sent_away(path)
        ask()
        for relay in ring_of_them:
            until(lambda relay=relay: is_at_rest(relay), "no connection is left")  # type: ignore[misc]
            assert becomes_quiet(relay.pid)
        ends = [relay.stop() for relay in ring_of_them]
    assert {end.status for end in ends} == {0}
    assert "circle" in "".join(end.err for end in ends)
    assert all(end.err.count("\n") <= 12 for end in ends)


# A server that dies


@WAYS
@MODES
def test_server_killed_in_the_middle_ends_its_client_and_the_next_one_is_served(
    user: User, place: str, way: Way, fallback: str
) -> None:
    """It is stopped first, so that there is something on the way which it never takes. That is the client's to know, as
    without a relay: no loss of the relay's, but said.
    """
    size = 1 << 20
    with relays(user, way(place), "-v", fallback=fallback) as between, ExitStack() as stack:
        server = stack.enter_context(strangers.listening("answer", user.uid, f"{place}/s", str(1 << 40)))
        client = stack.enter_context(connected(f"{place}/r"))
        client.sendall(bytes(size))
        assert len(exactly(client, 8 * size)) == 8 * size
        server.send_signal(signal.SIGSTOP)
        fill([client], *(each.pid for each in between))
        server.kill()
        ends_for(client)
        os.unlink(f"{place}/s")

        next_one = stack.enter_context(strangers.listening("answer", user.uid, f"{place}/s", str(size)))
        ours = strangers.act("talk", user.uid, f"{place}/r", str(size))
        theirs = strangers.finish(next_one)
        assert (ours["received"], theirs["received"]) == (theirs["sent"], ours["sent"])
        for each in between:
            until(lambda each=each: is_at_rest(each), "no connection is left")  # type: ignore[misc]
        for end in [each.stop() for each in between]:
            assert end.status == (8 if "lost" in end.err else 0)
            assert "client 1: one of its two connections broke" in end.err
            assert f"client 2 left: {size} bytes up, {size} down" in end.err


def ends_for(client: socket.socket) -> None:
    """What came is read, and then it is over, whichever way one looks."""
    try:
        while client.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while True:
            client.send(b"x")
