"""How a thread waits for a blocking stream, what it promises to several, and how it ends."""

from __future__ import annotations

import errno
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
from tests.blocking.conftest import LARGE, Ends, fork
from tests.program import PATIENCE_S
from tests.servers import read_all
from tests.threads import Running, is_polling, running, until

from afunix import blocking
from afunix.kernel.channel import Channel
from afunix.kernel.discarding_channel import DiscardingChannel
from afunix.model.errors import (
    BrokenStreamError,
    BusyError,
    ClosedError,
    TimedOutError,
)
from afunix.model.stream_state import State
from afunix.testing import Faults


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
    with pytest.raises(TimedOutError, match=r"made no room for 0.02 s") as caught:
        send(stream)
    assert caught.value.bytes_sent == stream.stats.bytes_sent > 0
    with pytest.raises(BrokenStreamError):
        stream.send(b"x")


@pytest.mark.parametrize(
    "name", [name for name in CALLS if name not in ("receive with a timeout", "wait_hangup")]
)
def test_a_timeout_bounds_a_call_on_a_socket_that_is_ready_while_nothing_comes_or_goes(name: str) -> None:
    with refusing(timeout=0.02) as stream, pytest.raises(TimedOutError, match=r"within 0\.02 s"):
        CALLS[name](stream)


@pytest.mark.parametrize("name", ["send", "send_many", "send_fds"])
def test_a_socket_that_is_ready_while_nothing_goes_makes_no_progress(name: str) -> None:
    with refusing(send_timeout=0.02) as stream:
        with pytest.raises(TimedOutError, match=r"made no room for 0.02 s") as caught:
            CALLS[name](stream)
        assert caught.value.bytes_sent == 0


@contextmanager
def refusing(**times: float) -> Iterator[blocking.Stream]:
    """A stream of which poll(2) says that it is ready, while every call answers EAGAIN."""
    near, far = socket.socketpair()
    far.send(b"never received")
    faults = Faults()
    faults.receiving.fail(errno.EAGAIN, None)
    faults.sending.fail(errno.EAGAIN, None)
    channel = DiscardingChannel(faults.apply_to(near))
    with far, blocking.Stream(channel, accept_fds=1, **times) as stream:  # type: ignore[arg-type]
        yield stream


def test_slow_progress_is_progress(new_ends: Callable[..., Ends]) -> None:
    """Each wait for room is shorter than `send_timeout`, all of them together are longer."""
    stream, far = new_ends(send_timeout=1)
    begin = time.monotonic()

    def read_slowly() -> int:
        count = 0
        while piece := far.recv(1 << 15):
            count += len(piece)
            threading.Event().wait(0.03)
        return count

    reader = Running(read_slowly)
    stream.send(LARGE)
    stream.send_eof()
    assert reader.result() == len(LARGE)
    assert time.monotonic() - begin > 1


def test_a_peer_that_reads_makes_progress_before_there_is_room(new_ends: Callable[..., Ends]) -> None:
    stream, far = new_ends(send_timeout=1)
    begin = time.monotonic()

    def read_slowly() -> int:
        count = 0
        while piece := far.recv(1 << 15):
            count += len(piece)
            threading.Event().wait(0.3)
        return count

    reader = Running(read_slowly)
    stream.send(bytes(300_000))
    assert time.monotonic() - begin > 1
    stream.send_eof()
    assert reader.result() == 300_000


def test_a_file_that_times_out_cuts_the_sending(new_ends: Callable[..., Ends]) -> None:
    stream, _ = new_ends(timeout=0.02)
    with tempfile.TemporaryFile() as file:
        file.write(LARGE)
        with pytest.raises(TimedOutError) as caught:
            stream.send_file(file)
    assert 0 < caught.value.bytes_sent == stream.stats.bytes_sent
    with pytest.raises(BrokenStreamError):
        stream.send(b"x")


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


def test_a_forgotten_stream_warns_with_where_it_was_opened_and_is_closed() -> None:
    one, other = blocking.pair()
    fd = one.fileno()
    with other:
        with pytest.warns(
            ResourceWarning, match=r"unclosed <afunix.blocking.Stream .*opened at .*test_waiting.py:\d+"
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


def test_a_child_can_receive_where_a_thread_of_the_parent_was_receiving(ends: Ends) -> None:
    stream, far = ends
    waiting = Running(stream.receive).until_waiting()
    pid = fork()
    if not pid:
        stream.timeout = 0.01
        try:
            stream.receive()
        except TimedOutError:
            os._exit(0)
        os._exit(1)
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
