"""What a blocking stream does for one thread, and what it promises to several."""

from __future__ import annotations

import gc
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.blocking.conftest import Ends
from tests.program import PATIENCE_S
from tests.servers import echo, read_all
from tests.threads import Running, is_polling, running, until

from afunix import blocking
from afunix.kernel.channel import Channel
from afunix.model.errors import (
    AfunixError,
    BrokenStreamError,
    BusyError,
    ClosedError,
    EndOfStream,
    LineTooLongError,
    TimedOutError,
    TruncatedError,
)
from afunix.model.stream_state import State

MANY = 1 << 20
"""More than a socket's buffer holds."""

LARGE = os.urandom(2 * MANY)

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


def test_a_second_thread_in_a_direction_is_told_and_the_first_goes_on(ends: Ends) -> None:
    stream, far = ends
    first = Running(stream.receive).until_waiting()
    with pytest.raises(BusyError, match="another thread is receiving"):
        stream.receive()
    with pytest.raises(BusyError, match="receiving"):
        stream.receive_exactly(3)
    far.send(b"for the first")
    assert first.result() == b"for the first"


def test_a_second_sender_is_told_and_the_first_goes_on(ends: Ends) -> None:
    stream, far = ends
    first = Running(lambda: stream.send(LARGE)).until_waiting()
    for send in (stream.send, lambda data: stream.send_many([data])):
        with pytest.raises(BusyError, match="sending"):
            send(b"in between")
    with pytest.raises(BusyError, match="sending"):
        stream.send_eof()
    reader = Running(lambda: read_all(far))
    first.result()
    stream.send_eof()
    assert reader.result() == LARGE


CALLS: dict[str, Callable[[blocking.Stream], Any]] = {
    "receive": lambda stream: stream.receive(),
    "receive with a timeout": lambda stream: receive_within(stream, PATIENCE_S),
    "receive_into": lambda stream: stream.receive_into(bytearray(10)),
    "receive_exactly": lambda stream: stream.receive_exactly(10),
    "receive_until": lambda stream: stream.receive_until(b"\n"),
    "lines": lambda stream: next(stream.lines()),
    "iteration": lambda stream: next(stream),
    "receive_fds": lambda stream: stream.receive_fds(),
    "send": lambda stream: stream.send(LARGE),
    "send of a bytearray": lambda stream: stream.send(bytearray(LARGE)),
    "send_many": lambda stream: stream.send_many([LARGE, LARGE]),
    "send_fds": lambda stream: stream.send_fds(LARGE, [0]),
    "wait_hangup": lambda stream: stream.wait_hangup(),
}


def receive_within(stream: blocking.Stream, seconds: float) -> bytes:
    stream.timeout = seconds
    return stream.receive()


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("name", CALLS)
def test_closing_while_a_thread_waits_ends_its_call_with_closed(
    new_ends: Callable[..., Ends], name: str, end: str
) -> None:
    stream, _ = new_ends(accept_fds=1)
    fd = stream.fileno()
    waiting = Running(lambda: CALLS[name](stream)).until_waiting()
    getattr(stream, end)()
    assert type(waiting.error()) is ClosedError
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert stream.state is State.CLOSED


@pytest.mark.parametrize("name", CALLS)
def test_using_a_closed_stream_is_closed(new_ends: Callable[..., Ends], name: str) -> None:
    stream, _ = new_ends(accept_fds=1, unread=b"un\nread")
    stream.close()
    stream.close()
    with pytest.raises(ClosedError, match="closed"):
        CALLS[name](stream)


def test_the_number_is_given_back_only_when_the_waiting_call_has_left(ends: Ends) -> None:
    """A file that is opened at once after `close` must not get the number that a call is about to use."""
    stream, _ = ends
    fd = stream.fileno()
    with stream._gate:  # as a call would be
        stream.close()
        with open(os.devnull) as file:
            assert file.fileno() != fd
    with open(os.devnull) as file:
        assert file.fileno() == fd


def test_closing_without_anybody_inside_leaves_the_connection_to_other_holders(ends: Ends) -> None:
    stream, far = ends
    copy = socket.socket(fileno=os.dup(stream.fileno()))
    with copy:
        stream.close()
        copy.send(b"still here")
        assert far.recv(100) == b"still here"


def test_aborting_ends_it_for_everybody(ends: Ends) -> None:
    stream, far = ends
    with socket.socket(fileno=os.dup(stream.fileno())):
        stream.abort()
        stream.abort()
        assert far.recv(100) == b""


def test_closing_in_a_signal_handler_ends_the_call_that_it_interrupts(ends: Ends) -> None:
    stream, _ = ends
    with handling(lambda: stream.close()), interrupted(times=1), pytest.raises(ClosedError):
        stream.receive()


def test_a_signal_handler_that_raises_ends_the_wait_and_loses_nothing(ends: Ends) -> None:
    stream, far = ends
    far.send(b"half")

    def stop() -> None:
        raise KeyError("stop")

    with handling(stop), interrupted(times=1), pytest.raises(KeyError):
        stream.receive_exactly(8)
    far.send(b"rest")
    assert stream.receive_exactly(8) == b"halfrest"


def test_a_signal_handler_that_returns_leaves_the_wait_and_its_deadline_alone(ends: Ends) -> None:
    stream, _ = ends
    stream.timeout = 0.05
    seen: list[int] = []
    with handling(lambda: seen.append(1)), interrupted(times=3), pytest.raises(TimedOutError):
        while len(seen) < 3:
            try:
                stream.receive()
            except TimedOutError:
                if len(seen) >= 3:
                    raise
    assert len(seen) >= 3


@contextmanager
def handling(act: Callable[[], Any]) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def interrupted(times: int) -> Iterator[None]:
    """This thread gets SIGUSR1 once it waits in poll(2), so many times."""
    main = threading.main_thread()
    assert main is threading.current_thread()

    def interrupt() -> None:
        for _ in range(times):
            until(lambda: is_polling(main))
            signal.pthread_kill(main.ident or 0, signal.SIGUSR1)

    with running(interrupt):
        yield


def test_a_call_that_times_out_loses_nothing(new_ends: Callable[..., Ends]) -> None:
    stream, far = new_ends(timeout=0.01)
    far.send(b"half a li")
    for name in ("receive_exactly", "lines"):
        with pytest.raises(TimedOutError, match=r"did not come within 0.01 s") as caught:
            CALLS[name](stream)
        assert caught.value.bytes_sent == 0
    far.send(b"ne\n")
    assert next(stream.lines()) == b"half a line\n"


def test_a_timeout_bounds_a_call_however_often_something_comes(ends: Ends) -> None:
    stream, far = ends
    stream.timeout = 0.05
    is_over = threading.Event()

    def drip() -> None:
        while not is_over.wait(0.002):
            far.send(b".")

    with running(drip):
        with pytest.raises(TimedOutError):
            stream.receive_until(b"\n")
        is_over.set()


def test_a_timeout_bounds_a_call_that_never_has_to_wait(new_ends: Callable[..., Ends]) -> None:
    much = bytes(100 * 64 * 1024)
    stream, _ = new_ends(unread=much, timeout=1e-9)
    with pytest.raises(TimedOutError):
        stream.receive_exactly(len(much))
    stream.timeout = 0
    assert stream.receive_exactly(len(much)) == much


def test_an_end_that_is_our_own_closing_is_told_as_that() -> None:
    """Another thread closes between two system calls of a call that does not wait."""

    class ClosedMeanwhile(Channel):
        def try_receive(self, max_bytes: int) -> bytes | None:
            stream.close()
            return super().try_receive(max_bytes)

        def try_send(self, data: bytes | memoryview) -> int:
            stream.close()
            return super().try_send(data)

    for call in (CALLS["receive"], CALLS["receive_exactly"], CALLS["send"]):
        near, far = socket.socketpair()
        with far, blocking.Stream(ClosedMeanwhile(near)) as stream:
            with pytest.raises(ClosedError):
                call(stream)
            assert near.fileno() == -1


def test_no_time_at_all_takes_what_is_there(new_ends: Callable[..., Ends]) -> None:
    stream, far = new_ends(timeout=0)
    far.send(b"there")
    assert stream.receive() == b"there"
    with pytest.raises(TimedOutError):
        stream.receive()


@pytest.mark.parametrize("wrong", [-1, float("nan"), "2", True])
def test_a_timeout_that_is_none_is_refused(ends: Ends, wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="timeout is"):
        ends[0].timeout = wrong
    with pytest.raises((ValueError, TypeError), match="timeout is"):
        ends[0].wait_hangup(timeout=wrong)
    assert ends[0].timeout is None


def test_a_send_that_times_out_says_how_much_went_and_cuts_the_sending(
    new_ends: Callable[..., Ends],
) -> None:
    stream, far = new_ends(timeout=0.02)
    with pytest.raises(TimedOutError, match=r"within 0.02 s; \d+ bytes of this send had gone") as caught:
        stream.send(LARGE)
    sent = caught.value.bytes_sent
    assert 0 < sent == stream.stats.bytes_sent
    with pytest.raises(BrokenStreamError) as cut:
        stream.send(b"after half a message")
    assert cut.value.bytes_sent == sent
    far.send(b"receiving goes on")
    assert stream.receive() == b"receiving goes on"
    stream.close()
    assert read_all(far) == LARGE[:sent]


def test_a_send_that_times_out_before_its_first_byte_is_no_send(new_ends: Callable[..., Ends]) -> None:
    stream, far = new_ends()
    filled = fill(stream)
    stream.timeout = 0
    with pytest.raises(TimedOutError) as caught:
        stream.send(b"x" * 1000)
    assert caught.value.bytes_sent == 0
    assert len(far.recv(filled, socket.MSG_WAITALL)) == filled
    stream.send(b"next")
    assert far.recv(10) == b"next"


def fill(stream: blocking.Stream) -> int:
    """As much as the kernel takes; how many bytes."""
    with socket.socket(fileno=os.dup(stream.fileno())) as sock:
        count = 0
        try:
            while True:
                count += sock.send(b"x" * 1000, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return count


@pytest.mark.parametrize("send", [CALLS["send"], CALLS["send_many"], CALLS["send_fds"]])
def test_no_progress_for_the_send_timeout_ends_a_send(
    new_ends: Callable[..., Ends], send: Callable[[blocking.Stream], None]
) -> None:
    stream, _ = new_ends(send_timeout=0.02, accept_fds=1)
    with pytest.raises(TimedOutError, match=r"took nothing for 0.02 s") as caught:
        send(stream)
    assert caught.value.bytes_sent == stream.stats.bytes_sent > 0
    with pytest.raises(BrokenStreamError):
        stream.send(b"x")


def test_slow_progress_is_progress(new_ends: Callable[..., Ends]) -> None:
    """Each wait for room is shorter than `send_timeout`, all of them together are longer."""
    stream, far = new_ends(send_timeout=0.2)
    begin = time.monotonic()

    def read_slowly() -> int:
        count = 0
        while piece := far.recv(1 << 15):
            count += len(piece)
            threading.Event().wait(0.005)
        return count

    reader = Running(read_slowly)
    stream.send(LARGE)
    stream.send_eof()
    assert reader.result() == len(LARGE)
    assert time.monotonic() - begin > 0.2


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
    assert stream.stats.bytes_received == len(before) + 15


def test_bytes_put_back_come_along_when_the_socket_is_handed_on(new_ends: Callable[..., Ends]) -> None:
    stream, far = new_ends(unread=b"un")
    stream.unread(b"still ")
    sock, unread = stream.detach()
    assert stream.state is State.DETACHED
    far.send(b"read")
    with blocking.attach(sock, unread=unread) as again:
        assert again.receive_exactly(12) == b"still unread"


@pytest.mark.parametrize("is_blocking", [True, False])
def test_an_attached_socket_comes_out_with_the_flag_that_it_had(is_blocking: bool) -> None:
    near, far = socket.socketpair()
    near.setblocking(is_blocking)
    sock, _ = blocking.attach(near).detach()
    with sock, far:
        assert (os.get_blocking(sock.fileno()), sock.getblocking()) == (is_blocking, is_blocking)


def test_a_socket_of_ours_blocks_when_it_is_handed_on() -> None:
    one, other = blocking.pair()
    sock, _ = one.detach()
    with sock, other:
        assert os.get_blocking(sock.fileno())
        assert sock.gettimeout() is None


def test_a_stream_in_use_cannot_be_detached(ends: Ends) -> None:
    stream, far = ends
    waiting = Running(stream.receive).until_waiting()
    with pytest.raises(BusyError, match="using"):
        stream.detach()
    far.send(b"x")
    assert waiting.result() == b"x"


def test_after_detach_nothing_works_and_closing_is_harmless(ends: Ends) -> None:
    stream, _ = ends
    sock, _ = stream.detach()
    with sock:
        with pytest.raises(ClosedError, match="was detached"):
            stream.receive()
        with pytest.raises(ClosedError, match="was detached"):
            stream.detach()
        stream.close()
        assert sock.fileno() >= 0


def test_reading_and_writing_go_on_in_parallel(ends: Ends) -> None:
    stream, far = ends
    with (
        running(lambda: echo(far), lambda: far.shutdown(socket.SHUT_WR)),
        running(lambda: stream.send(LARGE), stream.send_eof),
    ):
        assert b"".join(stream) == LARGE
    assert stream.state is State.ENDED


def test_waiting_for_the_hang_up(ends: Ends) -> None:
    stream, far = ends
    far.send(b"bytes do not matter")
    far.shutdown(socket.SHUT_WR)
    with pytest.raises(TimedOutError, match=r"not hung up within 0.01 s"):
        stream.wait_hangup(0.01)
    waiting = Running(stream.wait_hangup).until_waiting()
    assert stream.receive() == b"bytes do not matter"
    far.close()
    waiting.result()
    stream.wait_hangup(0)


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


def test_a_file_that_times_out_cuts_the_sending(new_ends: Callable[..., Ends]) -> None:
    stream, _ = new_ends(timeout=0.02)
    with tempfile.TemporaryFile() as file:
        file.write(LARGE)
        with pytest.raises(TimedOutError) as caught:
            stream.send_file(file)
    assert 0 < caught.value.bytes_sent == stream.stats.bytes_sent
    with pytest.raises(BrokenStreamError):
        stream.send(b"x")


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


def test_a_forgotten_stream_warns_with_where_it_was_opened_and_is_closed() -> None:
    one, other = blocking.pair()
    fd = one.fileno()
    with other:
        with pytest.warns(
            ResourceWarning, match=r"unclosed <afunix.blocking.Stream .*opened at .*test_stream.py:\d+"
        ):
            del one
            gc.collect()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)


def test_with_closes_whatever_happens(ends: Ends) -> None:
    stream, far = ends
    with pytest.raises(KeyError), stream:
        raise KeyError
    assert stream.is_closed
    assert far.recv(1) == b""


def test_a_child_can_close_its_copy_while_a_thread_of_the_parent_waits(ends: Ends) -> None:
    stream, far = ends
    waiting = Running(stream.receive).until_waiting()
    pid = fork()
    if not pid:
        stream.close()
        os._exit(0 if stream.is_closed else 1)
    assert os.waitpid(pid, 0)[1] == 0
    far.send(b"for the parent")
    assert waiting.result() == b"for the parent"


def test_a_child_can_go_on_where_a_thread_of_the_parent_was(ends: Ends) -> None:
    stream, far = ends
    waiting = Running(lambda: stream.send(LARGE)).until_waiting()
    pid = fork()
    if not pid:
        stream.timeout = 0
        try:
            stream.send(b"x")
        except TimedOutError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    with running(waiting.result, stream.send_eof):
        assert read_all(far) == LARGE


def fork() -> int:
    """os.fork with other threads there, on purpose; Python 3.12 warns of it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
