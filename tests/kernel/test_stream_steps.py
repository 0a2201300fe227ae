"""Both directions of a stream together, without anybody who waits."""

from __future__ import annotations

from tests.kernel.stepping import Pair, go

from afunix.kernel.steps import Need


def test_what_is_at_hand_needs_nothing(stepped_pair: Pair) -> None:
    stream, far = stepped_pair
    far.send(b"abc\ndef")
    assert go(stream._receive_until_steps(b"\n", 10)) == (b"abc\n", [])
    assert go(stream._receive_exactly_steps(2)) == (b"de", [])
    assert go(stream._receive_steps(9)) == (b"f", [])
    assert go(stream._send_steps(b"x")) == (None, [])


def test_each_direction_waits_and_is_interrupted_by_itself(stepped_pair: Pair) -> None:
    stream, far = stepped_pair
    receiving, sending = stream._receive_exactly_steps(5), stream._send_steps(bytes(50_000))
    assert (next(receiving), next(sending)) == (Need.READABLE, Need.WRITABLE)
    receiving.close()
    go(sending, lambda: far.recv(1 << 16))
    assert stream.stats.bytes_sent == 50_000
    far.send(b"still")
    assert go(stream._receive_exactly_steps(5)) == (b"still", [])
