"""A pair and its ends: each half-close alone, and nothing lost that somebody could still take."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from tests.loops import HandTurned
from tests.pairing import (
    BULK,
    Between,
    Endless,
    MakePump,
    carry,
    copying,
    drain,
    fill,
    has_ended,
    pair_of,
    splicing,
)
from tests.tcp_servers import LOOPBACK

from afunix.kernel.channel import Channel
from afunix.kernel.pipes import PipePool
from afunix.kernel.pump import Pump, Wants
from afunix.kernel.spliced_stream import SplicedStream
from afunix.streams.duplex import Duplex
from afunix.streams.farewell import Farewells


@pytest.fixture(params=[copying, splicing], ids=["copying", "splicing"])
def between(request: pytest.FixtureRequest, loop: HandTurned) -> Iterator[Between]:
    with ExitStack() as stack:
        yield Between(loop, stack, request.param)


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
