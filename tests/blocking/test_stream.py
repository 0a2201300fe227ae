"""What a blocking stream does for one thread: each operation, and how both directions end.

How it waits and ends is in `test_waiting`, what it has in common with the other faces in `kernel/test_stream_steps`.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable

import pytest
from tests.blocking.conftest import LARGE, MANY, Ends
from tests.servers import echo, read_all
from tests.threads import Running, running

from afunix import blocking
from afunix.model.errors import (
    AfunixError,
    BrokenStreamError,
    ClosedError,
    EndOfStream,
    LineTooLongError,
    TruncatedError,
)
from afunix.model.stream_state import State

Pair = tuple[blocking.Stream, blocking.Stream]


def test_one_byte_comes_back(ends: Ends) -> None:
    stream, far = ends
    with running(lambda: echo(far)):
        stream.send(b"x")
        assert stream.receive() == b"x"
        stream.send_eof()


def test_more_than_the_buffers_hold_comes_back_whole(ends: Ends) -> None:
    stream, far = ends

    def send() -> None:
        stream.send(LARGE)
        stream.send_eof()

    with running(lambda: echo(far)), running(send):
        assert stream.receive_exactly(len(LARGE)) == LARGE


@pytest.mark.parametrize("nothing", [b"", bytearray(), memoryview(b"")])
def test_sending_nothing_does_nothing_even_to_a_peer_that_left(ends: Ends, nothing: bytes) -> None:
    stream, far = ends
    far.close()
    stream.send(nothing)
    stream.send_many([nothing, nothing])
    assert stream.stats.bytes_sent == 0


@pytest.mark.parametrize("wrong", [0, -1])
def test_receiving_less_than_a_byte_is_refused(ends: Ends, wrong: int) -> None:
    with pytest.raises(ValueError, match=f"max_bytes is {wrong}, expected 1 or more"):
        ends[0].receive(wrong)
    with pytest.raises(ValueError, match="max_bytes"):
        ends[0].lines(wrong)


def test_a_receive_that_was_refused_leaves_the_stream_free(ends: Ends) -> None:
    stream, far = ends
    with pytest.raises(ValueError, match="length is 0"):
        stream.receive_into(bytearray())
    far.send(b"x")
    assert stream.receive() == b"x"


def test_the_end_stays_the_end(ends: Ends) -> None:
    stream, far = ends
    far.close()
    for _ in range(2):
        with pytest.raises(EndOfStream, match="sends no more"):
            stream.receive()


def test_the_answer_to_a_half_close_is_received_whole(ends: Ends) -> None:
    stream, far = ends

    def answer() -> None:
        asked = read_all(far)
        far.sendall(asked * 1000)
        far.close()

    with running(answer):
        stream.send(b"question\n")
        stream.send_eof()
        assert b"".join(stream) == b"question\n" * 1000


def test_sending_after_the_half_close_is_an_error_and_a_second_one_is_none(ends: Ends) -> None:
    stream, _ = ends
    stream.send_eof()
    stream.send_eof()
    with pytest.raises(ClosedError, match=r"send_eof\(\) was called"):
        stream.send(b"x")
    assert stream.state is State.SEND_ENDED


def test_what_was_sent_before_the_peer_closed_comes_first(ends: Ends) -> None:
    stream, far = ends
    far.sendall(b"last words")
    far.close()
    assert stream.receive() == b"last words"
    with pytest.raises(EndOfStream):
        stream.receive()


def test_sending_to_a_peer_that_left_is_broken_and_no_sigpipe(ends: Ends) -> None:
    stream, far = ends
    far.close()
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        with pytest.raises(BrokenStreamError, match="EPIPE") as caught:
            stream.send(b"x")
    finally:
        signal.signal(signal.SIGPIPE, before)
    assert caught.value.bytes_sent == 0


def test_a_peer_that_closed_with_bytes_unread_broke_the_stream(ends: Ends) -> None:
    stream, far = ends
    stream.send(b"never read")
    far.close()
    for _ in range(2):
        with pytest.raises(BrokenStreamError, match="ECONNRESET"):
            stream.receive()
    assert stream.state is State.BROKEN


def test_a_sender_waits_for_a_peer_that_does_not_read_and_goes_on_when_it_does(ends: Ends) -> None:
    stream, far = ends
    sender = Running(lambda: stream.send(LARGE), stream.send_eof).until_waiting()
    assert 0 < stream.stats.bytes_sent < MANY
    assert read_all(far) == LARGE
    sender.result()


def test_many_small_sends_stay_in_order(ends: Ends) -> None:
    stream, far = ends
    lines = [b"%d\n" % number for number in range(20_000)]

    def send_each(lines: list[bytes]) -> None:
        for line in lines:
            stream.send(line)

    with running(lambda: send_each(lines), stream.send_eof):
        assert read_all(far) == b"".join(lines)


def test_many_buffers_go_in_their_order(ends: Ends) -> None:
    stream, far = ends
    buffers = [b"%d," % number for number in range(3000)] + [LARGE]
    with running(lambda: stream.send_many(buffers), stream.send_eof):
        assert read_all(far) == b"".join(buffers)


def test_iterating_gives_chunks_until_the_end(ends: Ends) -> None:
    stream, far = ends
    with running(lambda: far.sendall(LARGE), far.close):
        chunks = list(stream)
    assert b"".join(chunks) == LARGE
    assert max(map(len, chunks)) <= 64 * 1024


def test_lines_keep_their_newline_and_the_unfinished_last_one_comes(ends: Ends) -> None:
    stream, far = ends
    far.sendall(b"one\n\nthree\nunfinished")
    far.close()
    assert list(stream.lines()) == [b"one\n", b"\n", b"three\n", b"unfinished"]


def test_lines_can_be_left_at_any_line(ends: Ends) -> None:
    stream, far = ends
    far.sendall(b"one\ntwo\nrest")
    far.close()
    for line in stream.lines():
        if line == b"one\n":
            break
    assert stream.receive_until(b"o") == b"two"
    assert b"".join(stream) == b"\nrest"


def test_a_line_that_is_too_long_stays_unread(ends: Ends) -> None:
    stream, far = ends
    far.sendall(b"0123456789\n")
    with pytest.raises(LineTooLongError, match="within 5 bytes"):
        next(stream.lines(5))
    assert next(stream.lines()) == b"0123456789\n"


def test_exactly_so_many_bytes_or_the_end_with_the_rest_unread(ends: Ends) -> None:
    stream, far = ends
    far.sendall(b"0123456789")
    far.close()
    assert stream.receive_exactly(4) == b"0123"
    with pytest.raises(EndOfStream, match="after 6 of 7 bytes"):
        stream.receive_exactly(7)
    assert stream.receive() == b"456789"


def test_receiving_into_a_buffer(ends: Ends) -> None:
    stream, far = ends
    far.sendall(b"0123456789")
    buffer = bytearray(4)
    assert stream.receive_into(buffer) == 4
    assert buffer == b"0123"
    assert stream.receive_into(memoryview(buffer)[1:3]) == 2
    assert buffer == b"0453"


def test_bytes_put_back_come_first(new_ends: Callable[..., Ends]) -> None:
    before = os.urandom(100_000)
    stream, far = new_ends(unread=before)
    far.sendall(b"from the socket")
    stream.unread(b"last put back, ")
    assert stream.receive_exactly(15 + len(before)) == b"last put back, " + before
    assert stream.receive() == b"from the socket"
    assert stream.stats.bytes_received == 15  # the others never came here


def test_reading_and_writing_go_on_in_parallel(ends: Ends) -> None:
    stream, far = ends
    with (
        running(lambda: echo(far), lambda: far.shutdown(socket.SHUT_WR)),
        running(lambda: stream.send(LARGE), stream.send_eof),
    ):
        assert b"".join(stream) == LARGE
    assert stream.state is State.ENDED


def test_descriptors_arrive_with_the_first_byte(pair: Pair) -> None:
    one, other = pair
    reading, writing = os.pipe()
    with open(reading, "rb"):
        one.send_fds(b"a pipe", [writing])
        os.close(writing)
        with other.receive_fds() as received:
            assert received.data == b"a pipe"
            os.write(received.fds[0].fileno(), b"through it")
        assert os.read(reading, 100) == b"through it"


def test_descriptors_that_nobody_asked_for_are_never_opened(ends: Ends) -> None:
    stream, far = ends
    with pytest.raises(AfunixError, match="without accept_fds"):
        stream.receive_fds()
    socket.send_fds(far, [b"x"], [0])
    before = os.listdir("/proc/self/fd")
    assert stream.receive() == b"x"
    assert os.listdir("/proc/self/fd") == before
    assert stream.stats.descriptors_closed == 1


def test_more_descriptors_than_wanted_are_closed_and_the_bytes_stay(pair: Pair) -> None:
    one, other = pair
    one.send_fds(b"three", [0, 0, 0])
    with pytest.raises(TruncatedError):
        other.receive_fds(max_fds=2)
    assert other.receive() == b"three"


@pytest.mark.parametrize("zero_copy", [False, True])
def test_a_file_goes_through(pair: Pair, zero_copy: bool) -> None:
    one, other = pair
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(LARGE)
        with running(lambda: other.receive_file(target, len(LARGE) - 10)) as receiving:
            assert one.send_file(source, offset=10, zero_copy=zero_copy) == len(LARGE) - 10
            assert receiving.result() == len(LARGE) - 10
        target.seek(0)
        assert target.read() == LARGE[10:]


def test_who_is_there_can_be_asked(pair: Pair) -> None:
    one, _ = pair
    assert one.peer.uid == os.geteuid()
    assert {*one.peer_groups} == {*os.getgroups()}
    assert one.peer_label is None or isinstance(one.peer_label, str)
    os.close(one.open_pidfd())
    one.close()
    assert one.peer.pid == os.getpid()
    for ask in (lambda: one.peer_groups, lambda: one.peer_label, one.open_pidfd, one.fileno):
        with pytest.raises(ClosedError):
            ask()


def test_counters_and_state_stay_readable(ends: Ends) -> None:
    stream, far = ends
    far.send(b"12345")
    assert stream.stats.bytes_queued == 5
    stream.receive(2)
    stream.send(b"123")
    stream.close()
    assert (stream.stats.bytes_received, stream.stats.bytes_sent, stream.stats.bytes_queued) == (2, 3, 0)
    assert stream.local_address == stream.peer_address
