"""A pair of sockets before a channel of ssh: bytes, ends of file and back-pressure both ways, and who closes whom."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from tests.loops import HandTurned
from tests.program import PATIENCE_S

from afunix.endpoints.ssh_bridge import Bridge
from afunix.streams.readiness import Readiness

MUCH = b"x" * (2 * 1024 * 1024)


class FarChannel:
    """What asyncssh's channel is to a bridge; it has room until it says otherwise."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.calls: list[str] = []
        self._send_window = 1000
        self._recv_buf: list[tuple[bytes, None]] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def __getattr__(self, name: str) -> object:
        return lambda: self.calls.append(name)

    def is_closing(self) -> bool:
        return "close" in self.calls

    def get_write_buffer_size(self) -> int:
        return 0


class Setup:
    def __init__(self) -> None:
        self.loop = HandTurned()
        self.readiness: Readiness[Bridge] = Readiness(self.loop, Bridge.on_ready)
        self.relay, theirs = socket.socketpair()
        self.relay.settimeout(PATIENCE_S)
        self.far = FarChannel()
        self.bridge = Bridge(theirs, self.readiness)
        self.bridge.connection_made(self.far)
        self.bridge.session_started()

    def close(self) -> None:
        self.bridge.close()
        self.readiness.close()
        self.relay.close()
        self.loop.close()


@pytest.fixture
def it() -> Iterator[Setup]:
    setup = Setup()
    yield setup
    setup.close()


def test_bytes_go_both_ways(it: Setup) -> None:
    it.relay.send(b"up")
    it.bridge.data_received(b"down")
    it.loop.turn()
    assert (bytes(it.far.written), it.relay.recv(100)) == (b"up", b"down")


def test_end_of_the_relays_side_is_passed_on_alone(it: Setup) -> None:
    it.relay.shutdown(socket.SHUT_WR)
    it.loop.turn(2)
    it.bridge.data_received(b"still")
    assert it.far.calls == ["write_eof"]
    assert it.relay.recv(100) == b"still"


def test_end_of_the_far_side_is_passed_on_alone(it: Setup) -> None:
    assert it.bridge.eof_received()
    assert it.relay.recv(100) == b""
    it.relay.send(b"still")
    it.loop.turn()
    assert it.far.written == b"still"


def test_both_ends_close_the_channel(it: Setup) -> None:
    it.bridge.eof_received()
    it.relay.shutdown(socket.SHUT_WR)
    it.loop.turn(3)
    assert "close" in it.far.calls
    assert it.bridge.is_closed and not it.bridge.is_over
    it.bridge.connection_lost(None)
    assert it.bridge.is_over


def test_relay_that_takes_no_more_pauses_the_channel_until_it_does(it: Setup) -> None:
    it.bridge.data_received(MUCH)
    assert it.far.calls == ["pause_reading"]
    it.bridge.eof_received()
    got = 0
    while got < len(MUCH):
        it.loop.turn()
        got += len(it.relay.recv(1 << 20))
    it.loop.turn(2)
    assert it.far.calls == ["pause_reading", "resume_reading"]
    assert it.relay.recv(1) == b""


def test_channel_that_takes_no_more_is_given_nothing_until_it_does(it: Setup) -> None:
    it.bridge.pause_writing()
    it.relay.send(b"later")
    it.loop.turn(3)
    assert it.far.written == b""
    it.bridge.resume_writing()
    it.loop.turn()
    assert it.far.written == b"later"


def test_close_of_the_relays_end_sends_the_rest_and_closes_the_channel(it: Setup) -> None:
    it.bridge.pause_writing()
    it.relay.send(b"last words")
    it.relay.close()
    it.loop.turn(2)
    assert it.far.written == b"last words"
    assert it.far.calls[-1] == "close"


def test_lost_channel_closes_the_pair_after_the_last_byte(it: Setup) -> None:
    it.bridge.data_received(MUCH)
    it.bridge.connection_lost(OSError())
    got = 0
    while got < len(MUCH):
        it.loop.turn()
        got += len(it.relay.recv(1 << 20))
    it.loop.turn(2)
    assert it.relay.recv(1) == b""
    assert it.bridge.is_over


def test_bytes_for_an_end_that_reads_no_more_are_dropped_and_it_is_still_heard(it: Setup) -> None:
    it.relay.shutdown(socket.SHUT_RD)
    it.bridge.data_received(b"nobody")
    it.relay.send(b"heard")
    it.loop.turn()
    assert it.far.written == b"heard"
    assert "pause_reading" not in it.far.calls


def test_idle_pair_costs_no_turns(it: Setup) -> None:
    served: list[int] = []
    it.readiness._on_ready = lambda bridge, events: served.append(events)
    it.loop.turn(3)
    assert served == []


def test_what_has_come_by_a_stop_is_handed_on_and_more_is_counted(it: Setup) -> None:
    it.bridge.begin_stop()
    it.bridge.data_received(b"in time")
    it.bridge.stop()
    it.bridge.data_received(b"late")
    it.loop.turn()
    assert (it.relay.recv(100), it.relay.recv(100)) == (b"in time", b"")
    assert it.bridge.bytes_lost == 4


def test_stop_with_a_full_pair_ends_it_after_the_last_byte(it: Setup) -> None:
    it.bridge.begin_stop()
    it.bridge.data_received(MUCH)
    it.bridge.stop()
    got = 0
    while piece := it.relay.recv(1 << 20):
        got += len(piece)
        it.loop.turn()
    assert (got, it.bridge.bytes_lost) == (len(MUCH), 0)


def test_what_a_closed_relay_has_not_taken_after_a_stop_is_counted(it: Setup) -> None:
    it.bridge.begin_stop()
    it.bridge.data_received(MUCH)
    it.far._recv_buf.append((b"12345", None))
    held = len(it.bridge._unsent)
    it.relay.close()
    it.loop.turn(2)
    assert it.bridge.bytes_lost == held + 5


def test_what_nobody_wants_is_no_loss_without_a_stop(it: Setup) -> None:
    it.bridge.data_received(MUCH)
    it.relay.close()
    it.loop.turn(2)
    it.bridge.data_received(MUCH)
    assert it.bridge.bytes_lost == 0


def test_what_asyncssh_holds_when_the_login_breaks_is_handed_on(it: Setup) -> None:
    it.far._recv_buf.append((b"held", None))
    it.bridge.connection_lost(OSError())
    it.loop.turn(2)
    assert (it.relay.recv(100), it.relay.recv(100)) == (b"held", b"")


def test_what_is_given_up_unconfirmed_is_counted(it: Setup) -> None:
    it.far._send_window = 900
    it.relay.close()
    it.loop.turn(2)
    it.bridge.give_up()
    assert it.bridge.bytes_lost == 100


def test_login_that_breaks_after_the_end_of_the_pair_loses_what_is_unconfirmed(it: Setup) -> None:
    it.far._send_window = 900
    it.relay.close()
    it.loop.turn(2)
    it.bridge.connection_lost(OSError())
    it.bridge.give_up()
    assert it.bridge.bytes_lost == 100


def test_confirmed_close_loses_nothing(it: Setup) -> None:
    it.far._send_window = 900
    it.relay.close()
    it.loop.turn(2)
    it.bridge.connection_lost(None)
    it.bridge.give_up()
    assert it.bridge.bytes_lost == 0
