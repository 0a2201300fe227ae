"""What is sent, without anybody who waits: what each step asks for, and what an interruption cuts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.stepping import Interrupt, Pair, go, interrupted, stepped
from tests.program import PATIENCE_S, environment

from afunix.kernel import send_steps
from afunix.kernel.send_steps import skip_sent
from afunix.kernel.steps import Need, NoProgressError, Steps
from afunix.kernel.stream_steps import StreamSteps
from afunix.model.errors import BrokenStreamError, TimedOutError


def test_sending_needs_room_until_all_is_gone(stepped_pair: Pair) -> None:
    stream, far = stepped_pair
    _, needs = go(stream._send_steps(bytes(50_000)), lambda: far.recv(1 << 16))
    assert set(needs) == {Need.WRITABLE}
    assert stream.stats.bytes_sent == 50_000


def test_a_send_that_is_interrupted_before_its_first_byte_is_a_no_op(stepped_pair: Pair) -> None:
    stream, far = stepped_pair
    while stream._channel.try_send(bytes(1000)):
        pass
    sends: tuple[Callable[[], Steps[None]], ...] = (
        lambda: stream._send_steps(b"x"),
        lambda: stream._send_many_steps([b"x", b"y"]),
        lambda: stream._send_fds_steps(b"x", [0]),
    )
    for send in sends:
        assert isinstance(interrupted(send(), Interrupt()), Interrupt)
        error = interrupted(send(), NoProgressError())
        assert isinstance(error, TimedOutError)
        assert error.bytes_sent == 0
    far.recv(1 << 20)
    assert go(stream._send_steps(b"goes on")) == (None, [])


def test_what_could_not_be_sent_with_descriptors_is_its_owners_again() -> None:
    with stepped() as (stream, far):
        far.close()
        data = bytearray(b"x")
        with pytest.raises(BrokenStreamError) as kept:
            go(stream._send_fds_steps(data, [0]))
        data += b"y"
        assert kept.value.bytes_sent == 0


def test_a_send_that_is_interrupted_in_its_middle_cuts() -> None:
    sends: tuple[Callable[[StreamSteps], Steps[None]], ...] = (
        lambda stream: stream._send_steps(bytearray(50_000)),
        lambda stream: stream._send_many_steps([bytes(20_000), bytes(30_000)]),
        lambda stream: stream._send_fds_steps(bytes(50_000), [0]),
    )
    for send in sends:
        with stepped() as (stream, _):
            error = interrupted(send(stream), NoProgressError())
            gone = stream.stats.bytes_sent
            assert isinstance(error, TimedOutError)
            assert (error.bytes_sent, f"{gone} of 50000" in str(error)) == (gone, True)
            with pytest.raises(BrokenStreamError, match=f"after {gone} of 50000 bytes"):
                go(stream._send_steps(b"x"))


@pytest.mark.parametrize("count", [None, 600_000])
@pytest.mark.parametrize("zero_copy", [False, True])
def test_a_file_that_is_interrupted_between_two_chunks_cuts_too(zero_copy: bool, count: int | None) -> None:
    with stepped(1 << 22) as (stream, far), tempfile.TemporaryFile() as file:
        stream._channel.socket.setblocking(False)
        file.write(bytes(1_000_000))
        file.flush()
        steps = stream._send_file_steps(file.fileno(), 0, count, zero_copy)
        while next(steps) is not Need.TURN:
            far.recv(1 << 20)
        with pytest.raises(Interrupt):
            steps.throw(Interrupt())
        with pytest.raises(BrokenStreamError) as caught:
            go(stream._send_steps(b"x"))
        assert caught.value.bytes_sent == stream.stats.bytes_sent > 0


def test_a_file_that_was_empty_or_whole_cuts_nothing(stepped_pair: Pair) -> None:
    stream, far = stepped_pair
    with tempfile.TemporaryFile() as file:
        assert go(stream._send_file_steps(file.fileno(), 0, None, False)) == (0, [])
        file.write(b"abc")
        file.flush()
        assert go(stream._send_file_steps(file.fileno(), 1, None, False)) == (2, [])
        assert go(stream._send_file_steps(file.fileno(), 5, 9, False)) == (0, [])
    assert go(stream._send_steps(b"x")) == (None, [])
    assert far.recv(9) == b"bcx"


def test_a_blocking_socket_gets_copies_for_sendfile_would_wait_there(
    stepped_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait_for_ever(*args: object) -> int:
        raise AssertionError("sendfile on a blocking socket")

    stream, far = stepped_pair
    stream._channel.is_ours = False
    monkeypatch.setattr(os, "sendfile", wait_for_ever)
    with tempfile.TemporaryFile() as file:
        file.write(b"abc")
        file.flush()
        assert go(stream._send_file_steps(file.fileno(), 0, 3, True)) == (3, [])
    assert far.recv(9) == b"abc"


def test_a_socket_of_ours_gets_the_files_pages_though_it_blocked(stepped_pair: Pair) -> None:
    stream, far = stepped_pair
    assert os.get_blocking(stream._channel.fd)
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(b"before")
        assert go(stream._send_file_steps(file.fileno(), 0, None, True))[0] == 6
        os.pwrite(file.fileno(), b"after!", 0)
    assert far.recv(9) == b"after!"  # what it reads are the pages


LEFT = """
import os, signal, socket, sys
from afunix.kernel.channel import Channel
from afunix.kernel.stream_steps import StreamSteps
from afunix.model.errors import BrokenStreamError

signal.signal(signal.SIGPIPE, {handler})
near, far = socket.socketpair()
far.close()
try:
    with open(sys.executable, "rb") as file:
        next(StreamSteps(Channel(near))._send_file_steps(file.fileno(), 0, 100, True))
except BrokenStreamError as error:
    print("broken", error.bytes_sent)
"""


@pytest.mark.parametrize("handler", ["signal.SIG_DFL", "signal.SIG_IGN", "print"])
def test_a_file_to_a_peer_that_left_is_broken_and_no_sigpipe_kills(handler: str) -> None:
    command = [sys.executable, "-c", LEFT.format(handler=handler)]
    done = subprocess.run(
        command, env=environment(), stdout=subprocess.PIPE, text=True, check=False, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["broken 0"])


def test_a_send_of_a_file_that_cannot_begin_leaves_the_stream_free(stepped_pair: Pair) -> None:
    stream, _ = stepped_pair
    fd, stream._channel.fd = stream._channel.fd, 1 << 30
    with pytest.raises(OSError, match="Bad file descriptor"):
        go(stream._send_file_steps(0, 0, 3, True))
    stream._channel.fd = fd
    go(stream._send_steps(b"goes on"))


@pytest.mark.parametrize("more", [[], ["no bytes"]])
def test_buffers_can_be_changed_again_when_sending_many_has_failed(
    stepped_pair: Pair, more: list[Any]
) -> None:
    stream, far = stepped_pair
    far.close()
    buffers = [bytearray(b"one"), bytearray(b"two")]
    with pytest.raises((BrokenStreamError, TypeError)) as kept:
        go(stream._send_many_steps([*buffers, *more]))
    for buffer in buffers:
        buffer.append(0)
    assert kept.value is not None


def test_sending_many_costs_as_much_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    stepped_over = 0

    def counted(views: list[memoryview], first: int, count: int) -> int:
        nonlocal stepped_over
        now_first = skip_sent(views, first, count)
        stepped_over += now_first - first + 1
        return now_first

    monkeypatch.setattr(send_steps, "skip_sent", counted)
    with stepped() as (stream, far):
        _, needs = go(stream._send_many_steps([b"x"] * 20_000), lambda: far.recv(1 << 16))
    assert len(needs) > 4
    assert stepped_over < 20_000 + 10 * len(needs)


@given(st.lists(st.binary(max_size=5)), st.integers(0, 30))
def test_what_is_left_of_buffers_is_what_did_not_go(buffers: list[bytes], count: int) -> None:
    views = [memoryview(buffer) for buffer in buffers if buffer]
    first = skip_sent(views, skip_sent(views, 0, 0), count)
    assert b"".join(views[first:]) == b"".join(buffers)[count:]
