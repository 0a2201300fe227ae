"""What is received, without anybody who waits: what each step asks for, and what is unread after an interruption."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.stepping import Interrupt, Pair, go, interrupted, stepped

from afunix.kernel.channel import Channel
from afunix.kernel.receive_steps import CHUNK_BYTES
from afunix.kernel.steps import Need, Steps
from afunix.model.errors import BrokenStreamError, ClosedError, EndOfStream, LineTooLongError


def test_receiving_needs_bytes_until_there_are_enough(stepped_pair: Pair) -> None:
    stream, far = stepped_pair
    assert go(stream._receive_exactly_steps(3), lambda: far.send(b"a")) == (b"aaa", [Need.READABLE] * 3)
    assert go(stream._receive_until_steps(b"bb", 9), lambda: far.send(b"b")) == (b"bb", [Need.READABLE] * 2)


@pytest.mark.parametrize("operation", ["exactly", "until", "line", "into", "chunk", "fds"])
def test_a_receive_that_is_interrupted_puts_everything_back(stepped_pair: Pair, operation: str) -> None:
    stream, far = stepped_pair
    if operation in ("exactly", "until", "line"):
        far.send(b"some")
    operations: dict[str, Callable[[], Steps[Any]]] = {
        "exactly": lambda: stream._receive_exactly_steps(9),
        "until": lambda: stream._receive_until_steps(b"\n", 9),
        "line": lambda: stream._line_steps(9),
        "into": lambda: stream._receive_into_steps(bytearray(9)),
        "chunk": lambda: stream._receive_steps(9),
        "fds": lambda: stream._receive_fds_steps(9, None),
    }
    assert isinstance(interrupted(operations[operation](), Interrupt()), Interrupt)
    far.send(b"more")
    expected = b"somemore" if operation in ("exactly", "until", "line") else b"more"
    assert go(stream._receive_exactly_steps(len(expected))) == (expected, [])


def test_long_operations_give_turns(stepped_pair: Pair) -> None:
    stream, _ = stepped_pair
    stream.unread(bytes(200 * CHUNK_BYTES))
    _, needs = go(stream._receive_exactly_steps(200 * CHUNK_BYTES))
    assert needs == [Need.TURN] * 3
    stream.unread(bytes(1_000_000))
    with open("/dev/null", "wb", buffering=0) as null:
        _, needs = go(stream._receive_file_steps(null.fileno(), 1_000_000))
    assert needs == [Need.TURN] * 3


def test_a_close_in_the_middle_is_told_and_puts_back(stepped_pair: Pair) -> None:
    stream, far = stepped_pair
    far.send(b"some")
    steps = stream._receive_exactly_steps(9)
    assert next(steps) is Need.READABLE
    stream._channel.close()
    with pytest.raises(ClosedError):
        next(steps)
    assert stream._channel.bytes_put_back == 4


def test_the_end_says_what_was_missing(stepped_pair: Pair) -> None:
    stream, far = stepped_pair
    far.send(b"some")
    far.shutdown(socket.SHUT_WR)
    with pytest.raises(EndOfStream, match="after 4 of 9 bytes"):
        go(stream._receive_exactly_steps(9))
    with pytest.raises(EndOfStream, match="4 bytes are left"):
        go(stream._receive_until_steps(b"\n", 9))
    assert go(stream._line_steps(9)) == (b"some", [])
    for steps in (
        stream._line_steps(9),
        stream._receive_until_steps(b"\n", 9),
        stream._receive_exactly_steps(1),
    ):
        with pytest.raises(EndOfStream):
            go(steps)
    assert go(stream._receive_exactly_steps(0)) == (b"", [])


def test_an_error_that_is_no_reset_is_not_the_end(
    stepped_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, far = stepped_pair
    far.send(b"still there")

    def out_of_memory(*args: object) -> bytes:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patched:
        patched.setattr(Channel, "try_receive", out_of_memory)
        with pytest.raises(OSError, match="Cannot allocate"):
            go(stream._receive_steps(20))
    assert go(stream._receive_steps(20)) == (b"still there", [])


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"abcde"]), max_size=30))
def test_pieces_and_what_is_left_are_all_there_is(pieces: list[bytes]) -> None:
    got, rest = [], list(pieces)

    def feed() -> None:
        if rest:
            far.send(rest.pop(0))
        else:
            far.close()

    with stepped() as (stream, far):
        try:
            while True:
                got.append(go(stream._receive_until_steps(b"\r\n", 8), feed)[0])
        except EndOfStream:
            pass
        except LineTooLongError:
            assert stream._channel.bytes_put_back >= 8
        assert all(piece.endswith(b"\r\n") and piece.count(b"\r\n") == 1 for piece in got)
        left = stream._channel.take_all_unread()
        assert b"".join([*got, left, *rest]) == b"".join(pieces)


@pytest.mark.parametrize("pieces", [[b"head", b"er\r\n"], [b"header\r", b"\n"], [b"header\r\n"]])
def test_a_line_is_taken_without_the_descriptor_that_follows_it(pieces: list[bytes]) -> None:
    with stepped(accept_fds=1) as (stream, far):
        waiting = iter([*pieces[1:], b""])

        def send(data: bytes, *, is_last: bool) -> None:
            far.send(data)
            if is_last:
                socket.send_fds(far, [b"F"], [0])

        send(pieces[0], is_last=len(pieces) == 1)
        line, _ = go(
            stream._receive_until_steps(b"\r\n", 100),
            lambda: send(next(waiting), is_last=True),
        )
        assert line == b"header\r\n"
        received, _ = go(stream._receive_fds_steps(10, None))
        with received:
            assert (received.data, len(received.fds)) == (b"F", 1)
        assert stream.stats.descriptors_closed == 0


def test_nothing_behind_a_line_that_is_too_long_is_taken() -> None:
    with stepped(accept_fds=1) as (stream, far):
        far.send(b"longer than")
        socket.send_fds(far, [b"F"], [0])
        with pytest.raises(LineTooLongError):
            go(stream._receive_until_steps(b"\n", 11))
        assert stream._channel.try_receive(100) == b"longer than"
        received, _ = go(stream._receive_fds_steps(10, None))
        with received:
            assert len(received.fds) == 1


@pytest.mark.parametrize(("unread", "error"), [(b"", EndOfStream), (b"x", BrokenStreamError)])
def test_the_end_and_a_reset_are_told_where_nothing_is_read_ahead(
    unread: bytes, error: type[Exception]
) -> None:
    with stepped(accept_fds=1) as (stream, far):
        stream._channel.try_send(unread)
        far.send(b"no newline")
        far.close()
        with pytest.raises(error):
            go(stream._receive_until_steps(b"\n", 100))
        assert stream._channel.try_receive(100) == b"no newline"


def test_without_descriptors_the_lines_of_a_burst_are_one_receive() -> None:
    with stepped() as (stream, far):
        far.send(b"one\ntwo\n")
        assert go(stream._receive_until_steps(b"\n", 100))[0] == b"one\n"
        assert stream._channel.bytes_put_back == 4
