"""Pairs and their ends: each half-close alone, nothing lost that somebody could still take, and never a spin."""

from __future__ import annotations

import errno
import os
import random
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.loops import HandTurned
from tests.pairing import Between, MakePump, Talk, copying, drain, has_ended, splicing
from tests.tcp_servers import LOOPBACK

from afunix.kernel.channel import Channel
from afunix.kernel.pipes import PipePool
from afunix.kernel.pump import SHARE_BYTES, Pump, Wants
from afunix.kernel.spliced_stream import SplicedStream
from afunix.streams.duplex import Duplex
from afunix.streams.farewell import Farewells

BULK = random.Random(1).randbytes(3 << 20)


@pytest.fixture(params=[copying, splicing], ids=["copying", "splicing"])
def between(request: pytest.FixtureRequest, loop: HandTurned) -> Iterator[Between]:
    with ExitStack() as stack:
        yield Between(loop, stack, request.param)


def carry(between: Between, source: socket.socket, sink: socket.socket, data: bytes) -> bytes:
    """Send `data` at `source`, and what arrives at `sink`."""
    got, left = bytearray(), memoryview(data)
    while len(got) < len(data):
        try:
            left = left[source.send(left) :] if left else left
        except BlockingIOError:
            pass
        between.loop.turn()
        got += drain(sink)
    return bytes(got)


def fill(between: Between, sock: socket.socket) -> int:
    """Send until nothing more goes in; how much did."""
    sent = 0
    while True:
        between.settle()
        try:
            sent += sock.send(BULK)
        except BlockingIOError:
            return sent


# What goes through


def test_bytes_go_both_ways(between: Between) -> None:
    talk = between.join()
    assert carry(between, talk.client, talk.server, b"question") == b"question"
    assert carry(between, talk.server, talk.client, b"answer") == b"answer"
    assert between.set.traffic() == (8, 6)


def test_bulk_arrives_byte_for_byte_both_ways(between: Between) -> None:
    talk = between.join()
    assert carry(between, talk.client, talk.server, BULK) == BULK
    assert carry(between, talk.server, talk.client, BULK) == BULK


def test_what_was_sent_before_is_moved_at_once(between: Between) -> None:
    near, client = socket.socketpair()
    far, server = socket.socketpair()
    with client, server:
        client.send(b"early")
        ends = Channel(near), Channel(far)
        duplex = Duplex(*ends, copying(*ends, between.pool), copying(*ends[::-1], between.pool))
        between.set.add(duplex)
        between.set.start(duplex)
        assert server.recv(9, socket.MSG_DONTWAIT) == b"early"


def test_pairs_do_not_mix(between: Between) -> None:
    ana, bo = between.join(), between.join()
    ana.client.send(b"ana")
    bo.client.send(b"bo")
    between.settle()
    assert (drain(ana.server), drain(bo.server)) == (b"ana", b"bo")


def test_bytes_of_pairs_that_are_over_stay_counted(between: Between) -> None:
    talk = between.join()
    carry(between, talk.client, talk.server, b"four")
    talk.client.close()
    between.settle()
    assert (between.set.pairs, between.set.traffic(), between.set.bytes_moved()) == ({}, (4, 0), 4)


# Ends


@pytest.mark.parametrize("closer", ["client", "server"])
def test_half_close_is_passed_on_and_the_other_way_stays_open(between: Between, closer: str) -> None:
    talk = between.join()
    one, other = (talk.client, talk.server) if closer == "client" else (talk.server, talk.client)
    one.send(b"last")
    one.shutdown(socket.SHUT_WR)
    between.settle()
    assert (drain(other), has_ended(other), between.over) == (b"last", True, [])
    assert carry(between, other, one, b"late answer") == b"late answer"
    assert not has_ended(one)


def test_pair_is_over_when_both_have_half_closed(between: Between) -> None:
    talk = between.join()
    talk.client.shutdown(socket.SHUT_WR)
    talk.server.shutdown(socket.SHUT_WR)
    between.settle()
    assert between.over == [(talk.duplex, 0)]
    assert (talk.duplex.near.is_closed, talk.duplex.far.is_closed, talk.duplex.error) == (True, True, None)
    assert has_ended(talk.client)
    assert has_ended(talk.server)


@pytest.mark.parametrize("closer", ["client", "server"])
def test_who_closes_whole_ends_the_pair_after_his_last_bytes(between: Between, closer: str) -> None:
    talk = between.join()
    one, other = (talk.client, talk.server) if closer == "client" else (talk.server, talk.client)
    one.send(BULK)
    one.close()
    got = bytearray()
    while not has_ended(other):
        between.loop.turn()
        got += drain(other)
    between.settle()
    assert bytes(got) == BULK
    assert between.over == [(talk.duplex, 0)]


def test_client_that_leaves_after_its_half_close_frees_the_server(between: Between) -> None:
    talk = between.join()
    talk.client.shutdown(socket.SHUT_WR)
    between.settle()
    talk.client.close()
    between.settle()
    assert between.over == [(talk.duplex, 0)]


def test_answer_of_a_server_that_left_without_reading_still_arrives(between: Between) -> None:
    talk = between.join()
    fill(between, talk.client)
    talk.server.send(b"too long")
    talk.server.close()
    between.settle()
    assert drain(talk.client) == b"too long"
    assert has_ended(talk.client)
    assert [lost for _, lost in between.over] == [0]
    assert isinstance(talk.duplex.far_error, ConnectionError)


def test_answer_that_stalls_survives_the_servers_end(between: Between) -> None:
    talk = between.join()
    sent = fill(between, talk.server)
    talk.client.send(b"more")
    talk.server.close()
    between.settle()
    got = b""
    while not has_ended(talk.client):
        got += drain(talk.client)
        between.loop.turn()
    assert len(got) == sent
    assert [lost for _, lost in between.over] == [0]


def test_who_takes_no_more_is_told_of_to_the_writer_and_may_go_on_speaking(between: Between) -> None:
    talk = between.join()
    talk.client.shutdown(socket.SHUT_RD)
    talk.server.send(b"for nobody")
    between.settle()
    with pytest.raises(BrokenPipeError):
        talk.server.send(b"more")
    assert carry(between, talk.client, talk.server, b"still here") == b"still here"
    assert (between.over, between.set.bytes_unmoved()) == ([], 0)


def test_writer_to_a_client_that_is_gone_is_told_while_its_bytes_still_wait(between: Between) -> None:
    talk = between.join()
    sent = fill(between, talk.client)
    talk.client.close()
    between.settle()
    with pytest.raises(BrokenPipeError):
        talk.server.send(b"answer")
    assert len(drain(talk.server)) > 0
    between.settle()
    while not has_ended(talk.server):
        between.loop.turn()
        sent -= len(drain(talk.server))
    assert [lost for _, lost in between.over] == [0]


@pytest.mark.parametrize("leaver", ["client", "server"])
def test_writer_that_waits_for_room_is_woken_when_there_is_nobody_left_to_read(
    between: Between, leaver: str
) -> None:
    talk = between.join()
    fill(between, talk.client)
    fill(between, talk.server)
    one, other = (talk.client, talk.server) if leaver == "client" else (talk.server, talk.client)
    one.close()
    between.settle()
    waiting = select.poll()
    waiting.register(other, select.POLLOUT)
    assert waiting.poll(0)
    with pytest.raises(BrokenPipeError):
        other.send(b"x")


def test_reset_is_known_by_its_side(between: Between) -> None:
    talk = between.join()
    talk.server.send(b"unread")
    between.settle()
    talk.client.send(b"last words")
    talk.client.close()
    between.settle()
    assert drain(talk.server) == b"last words"
    assert isinstance(talk.duplex.near_error, ConnectionResetError)
    assert (talk.duplex.far_error, talk.duplex.error) == (None, talk.duplex.near_error)


def test_end_of_conversations_passes_on_what_was_sent_and_ends(between: Between) -> None:
    talk = between.join()
    talk.client.send(b"question")
    talk.server.send(b"answer")
    between.set.end_conversations()
    with pytest.raises(BrokenPipeError):
        talk.client.send(b"more")
    between.settle()
    assert (drain(talk.server), drain(talk.client)) == (b"question", b"answer")
    assert between.over == [(talk.duplex, 0)]


def resting(source: Channel, sink: Channel, pool: PipePool) -> Pump:
    return Pump(source.try_receive, sink.try_send, rests=True, at_end=sink.end_sending)


def resting_splice(source: Channel, sink: Channel, pool: PipePool) -> Pump:
    mover = SplicedStream(source, sink, pool)
    return Pump(source.try_receive, sink.try_send, mover=mover, rests=True, at_end=sink.end_sending)


@pytest.mark.parametrize("make", [resting, resting_splice])
@pytest.mark.parametrize("closer", ["client", "server"])
def test_few_bytes_of_one_who_closed_while_the_sink_was_full_arrive_and_the_pair_ends(
    loop: HandTurned, make: MakePump, closer: str
) -> None:
    with ExitStack() as stack:
        between = Between(loop, stack, make)
        talk = between.join()
        one, other = (talk.client, talk.server) if closer == "client" else (talk.server, talk.client)
        sent = send_little(between, one)
        one.close()
        between.settle()
        got = 0
        for _ in range(sent):
            got += len(drain(other))
            loop.turn()
            if has_ended(other):
                break
        between.settle()
        assert (got, between.over) == (sent, [(talk.duplex, 0)])
        assert talk.duplex.near.is_closed


def send_little(between: Between, sock: socket.socket) -> int:
    """Small messages until some wait for room: less than a chunk. How many bytes it was."""
    sent = waiting = 0
    while waiting < 20:
        before = between.set.bytes_moved()
        sent += sock.send(b"x" * 1000)
        between.settle()
        waiting += between.set.bytes_moved() == before
    return sent


def test_stop_lets_a_tcp_peer_that_talks_have_all_that_was_sent(loop: HandTurned) -> None:
    with ExitStack() as stack:
        between = Between(loop, stack, splicing)
        near, client = socket.socketpair()
        far, server = tcp_pair(stack)
        stack.enter_context(client)
        client.setblocking(False)
        ends = Channel(near), Channel(far)
        duplex = Duplex(*ends, splicing(*ends, between.pool), splicing(*ends[::-1], between.pool))
        between.set.add(duplex)
        between.set.start(duplex)
        farewells = Farewells(loop)
        stack.callback(farewells.close)
        between.on_over = farewells.part
        sent, got = fill(between, client), 0
        between.set.end_conversations()
        for _ in range(100_000):
            with suppress(OSError):
                server.send(b"progress")
            loop.advance(0.001)
            got += len(data := server.recv(30_000))
            if not data:
                break
        assert got == sent


def tcp_pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    with socket.create_server((LOOPBACK, 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        server = stack.enter_context(listener.accept()[0])
    server.settimeout(5)
    far.setblocking(False)
    return far, server


def test_bytes_that_we_refuse_to_take_are_counted(between: Between) -> None:
    talk = between.join()
    refused = OSError(errno.EOPNOTSUPP, "not these")

    def receive(max_bytes: int) -> bytes | None:
        raise refused

    talk.duplex.up._receive = receive  # type: ignore[attr-defined]
    talk.client.send(b"four")
    between.settle()
    assert between.over == [(talk.duplex, 4)]


# Rest


def stalled(between: Between, who: str) -> Talk:
    """A pair one side of which does not read."""
    talk = between.join()
    fill(between, getattr(talk, who))
    return talk


def test_pair_at_rest_is_not_served(between: Between) -> None:
    between.join()
    assert between.events_at_rest() == 0


@pytest.mark.parametrize("writer", ["client", "server"])
@pytest.mark.parametrize("end", ["open", "half-closed", "closed"])
def test_stalled_pair_is_not_served_whatever_became_of_its_writer(
    between: Between, writer: str, end: str
) -> None:
    talk = stalled(between, writer)
    if end == "half-closed":
        getattr(talk, writer).shutdown(socket.SHUT_WR)
    elif end == "closed":
        getattr(talk, writer).close()
    assert between.events_at_rest() == 0
    assert between.over == []


def test_pair_that_stalls_both_ways_is_not_served(between: Between) -> None:
    talk = stalled(between, "client")
    fill(between, talk.server)
    assert between.events_at_rest() == 0


def test_half_closed_pair_is_not_served(between: Between) -> None:
    talk = between.join()
    talk.client.shutdown(socket.SHUT_WR)
    assert between.events_at_rest() == 0


def test_stalled_pair_holds_little_and_the_others_do_not_notice(between: Between) -> None:
    deaf, others = stalled(between, "client"), [between.join() for _ in range(99)]
    assert deaf.duplex.up.held <= 1 << 20
    for talk in others:
        talk.client.send(b"x")
    between.loop.turn(2)
    assert [drain(talk.server) for talk in others] == [b"x"] * 99


def test_more_stalled_pairs_than_pipes_leave_copying_to_the_rest(loop: HandTurned) -> None:
    with ExitStack() as stack:
        between = Between(loop, stack, splicing)
        between.pool = PipePool(1)
        stack.callback(between.pool.close)
        stalled(between, "client")
        talk = between.join()
        assert carry(between, talk.client, talk.server, BULK) == BULK


# Turns


class Endless:
    """A pump that always has more, or fails, as it is told."""

    def __init__(self, *answers: Wants) -> None:
        self.answers = list(answers)
        self.steps = 0
        self.is_finished = False
        self.source_error: OSError | None = None
        self.sink_error: OSError | None = None
        self.moved = 0
        self.held = 0

    def step(self) -> Wants:
        self.steps += 1
        wants = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if wants is Wants.NOTHING:
            self.is_finished = True
        return wants

    def close(self) -> None:
        self.is_finished = True


def pair_of(between: Between, up: Any, down: Any) -> Talk:
    """A pair with these pumps."""
    pumps = [up, down]
    between._make = lambda source, sink, pool: pumps.pop(0)
    return between.join()


def test_pump_that_has_had_its_share_goes_on_in_the_next_turn_and_others_are_served(
    loop: HandTurned, between: Between
) -> None:
    other = between.join()
    up, down = Endless(Wants.TURN), Endless(Wants.SOURCE)
    pair_of(between, up, down)
    assert (up.steps, down.steps) == (1, 1)
    loop.turn()
    assert (up.steps, down.steps) == (2, 1)
    other.client.send(b"x")
    loop.turn(2)
    assert drain(other.server) == b"x"
    assert up.steps <= 5


def test_real_share_ends_a_turn(loop: HandTurned) -> None:
    with ExitStack() as stack:
        between = Between(loop, stack)
        endless = Pump(lambda max_bytes: bytes(max_bytes), len)
        pair_of(between, endless, Endless(Wants.SOURCE))
        assert SHARE_BYTES <= endless.moved < 2 * SHARE_BYTES


def test_pair_that_ends_in_a_turn_takes_no_other_with_it(between: Between) -> None:
    talks = [between.join() for _ in range(5)]
    between.on_over = lambda duplex: [between.set.end(talk.duplex) for talk in talks[1:4]]  # type: ignore[assignment,func-returns-value]
    for talk in talks:
        talk.client.send(b"x")
        talk.client.close()
    between.settle()
    assert len(between.over) == 5
    assert drain(talks[4].server) == b"x"


def test_new_owner_of_a_descriptor_does_not_inherit_its_hang_up(between: Between) -> None:
    old, gone = between.join(), between.join()
    numbers = {old.duplex.near.fd, old.duplex.far.fd, gone.duplex.near.fd, gone.duplex.far.fd}
    new: list[Talk] = []

    def replace(duplex: Duplex) -> None:
        if duplex is old.duplex:
            between.set.end(gone.duplex)
            new.append(between.join())

    between.on_over = replace
    old.client.shutdown(socket.SHUT_RDWR)
    gone.client.shutdown(socket.SHUT_RDWR)
    between.settle()
    (talk,) = new
    assert {talk.duplex.near.fd, talk.duplex.far.fd} & numbers
    assert not talk.duplex.is_over
    assert carry(between, talk.client, talk.server, b"fresh") == b"fresh"


# What breaks


def test_sink_that_refuses_for_its_own_reasons_ends_the_pair_and_what_was_meant_for_both_is_lost(
    between: Between,
) -> None:
    up, down = Endless(Wants.SOURCE, Wants.NOTHING), Endless(Wants.SOURCE)
    talk = pair_of(between, up, down)
    up.held, up.sink_error = 7, OSError(errno.EMSGSIZE, "too long")
    talk.server.send(b"12345")
    talk.client.send(b"x")
    between.settle()
    assert between.over == [(talk.duplex, 7 + 1 + 5)]
    assert talk.duplex.far_error is up.sink_error


def test_sockets_that_cannot_be_watched_stay_their_owners(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = between.set._readiness.add
    added: list[int] = []

    def add_once(fd: int, *args: Any) -> None:
        if added:
            raise OSError(errno.ENOSPC, "max_user_watches")
        added.append(fd)
        register(fd, *args)

    monkeypatch.setattr(between.set._readiness, "add", add_once)
    near, far = socket.socketpair()
    ends = Channel(near), Channel(far)
    pump = copying(*ends, between.pool)
    with pytest.raises(OSError, match="max_user_watches"):
        between.set.add(Duplex(*ends, pump, pump))
    assert (between.set.pairs, between.set._readiness._items) == ({}, {})
    for channel in ends:
        assert not channel.is_closed
        channel.close()


def test_ended_pair_loses_what_waits_and_is_ended_once(between: Between) -> None:
    talk = between.join()
    sent = fill(between, talk.client)
    assert between.set.bytes_unmoved() == sent - talk.duplex.up.moved
    between.set.end(talk.duplex)
    between.set.end(talk.duplex)
    assert between.over == [(talk.duplex, sent - talk.duplex.up.moved)]


def test_closed_set_has_closed_its_pairs_in_silence(between: Between) -> None:
    talk = stalled(between, "client")
    between.set.close()
    between.set.close()
    assert (between.over, talk.duplex.is_over, talk.duplex.near.is_closed) == ([], True, True)


def test_touched_is_when_something_happened_last(loop: HandTurned) -> None:
    with ExitStack() as stack:
        between = Between(loop, stack, clock=loop.time)
        talk = between.join()
        loop.now += 5
        between.settle()
        assert talk.duplex.touched == loop.now - 5
        carry(between, talk.client, talk.server, b"x")
        assert talk.duplex.touched == loop.now


def test_no_descriptor_stays_open(between: Between) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        talk = between.join()
        talk.client.send(b"x")
        talk.client.close()
        between.settle()
        talk.server.close()
    assert len(os.listdir("/proc/self/fd")) - before <= 2  # a pipe of the pool


# The same as without a relay

DEEDS = ["send", "send much", "receive", "end sending", "end receiving", "close"]


class Side:
    """An outer end that does as it is told. `settle()` lets what is on its way arrive."""

    def __init__(self, sock: socket.socket, settle: Callable[[], None]) -> None:
        self.sock = sock
        self.settle = settle
        self.got = bytearray()
        self.is_closed = False
        self.takes_all = True

    def do(self, deed: str, number: int) -> None:
        if self.is_closed:
            return
        if deed.startswith("send"):
            self._send(bytes([number % 256]) * (1 if deed == "send" else 150_000))
        elif deed == "receive":
            self.receive()
        elif deed == "close":
            self.is_closed = True
            self.sock.close()
        else:
            self.takes_all = self.takes_all and deed == "end sending"
            self._shut(socket.SHUT_WR if deed == "end sending" else socket.SHUT_RD)
        self.settle()

    def receive(self) -> None:
        """Everything, also what comes only when there is room for it."""
        while piece := drain(self.sock):
            self.got += piece
            self.settle()

    def _send(self, data: bytes) -> None:
        try:
            self.sock.send(data)
        except BrokenPipeError:
            pass

    def _shut(self, how: int) -> None:
        try:
            self.sock.shutdown(how)
        except OSError:
            pass  # ENOTCONN


def play(script: list[tuple[int, str]], sides: list[Side]) -> list[Side]:
    for number, (who, deed) in enumerate(script):
        sides[who].do(deed, number)
    for side in sides:
        if not side.is_closed:
            side.receive()
    return sides


@pytest.mark.parametrize("make", [copying, splicing])
@given(script=st.lists(st.tuples(st.integers(0, 1), st.sampled_from(DEEDS)), max_size=12))
def test_any_conversation_goes_as_it_does_without_a_relay(
    make: MakePump, script: list[tuple[int, str]]
) -> None:
    with ExitStack() as stack:
        direct = socket.socketpair()
        for sock in direct:
            stack.callback(sock.close)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        expected = play(script, [Side(sock, lambda: None) for sock in direct])
        loop = HandTurned()
        stack.callback(loop.close)
        between = Between(loop, stack, make)
        talk = between.join()
        found = play(script, [Side(talk.client, between.settle), Side(talk.server, between.settle)])
        for one, other in zip(expected, found, strict=True):
            if one.takes_all:
                assert other.got == one.got
            else:  # what had not reached it by then does not any more
                assert one.got.startswith(other.got)
            assert other.is_closed or has_ended(other.sock) == has_ended(one.sock)
