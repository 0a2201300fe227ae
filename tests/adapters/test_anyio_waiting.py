"""What may happen to a task that waits for a stream: cancelled, overtaken, closed under it. Nothing is lost by it."""

from __future__ import annotations

import errno
import math
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

import afunix
from afunix.adapters.anyio import Stream, attach, pair
from afunix.kernel.channel import Channel
from afunix.testing import Faults

pytestmark = pytest.mark.anyio

Failure = type[BaseException]


def connected() -> tuple[Stream, socket.socket]:
    one, other = socket.socketpair()
    return attach(one), other


def fill(stream: Stream) -> int:
    """Leave no room; how many bytes that took."""
    count = 0
    with socket.socket(fileno=os.dup(stream.fileno())) as sock:
        while True:
            try:
                count += sock.send(b"x" * 65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return count


def drain(sock: socket.socket) -> int:
    """Take what is there; how many bytes that were."""
    count = 0
    while True:
        try:
            count += len(sock.recv(1 << 20, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return count


async def failing(
    call: Callable[[], Awaitable[object]], kind: Failure, *, task_status: TaskStatus[None]
) -> None:
    task_status.started()
    with pytest.raises(kind):
        await call()


class Waits:
    """The ways to wait for a stream on which nothing moves."""

    @staticmethod
    async def receive(stream: Stream) -> None:
        await stream.receive()

    @staticmethod
    async def lines(stream: Stream) -> None:
        async for _ in stream.lines():
            pass

    @staticmethod
    async def send(stream: Stream) -> None:
        await stream.send(b"x" * 1_000_000)

    @staticmethod
    async def room(stream: Stream) -> None:
        await stream.wait_for_room()

    @staticmethod
    async def hangup(stream: Stream) -> None:
        await stream.wait_hangup()


ALL = [Waits.receive, Waits.lines, Waits.send, Waits.room, Waits.hangup]
Wait = Callable[[Stream], Coroutine[Any, Any, None]]
each_wait = pytest.mark.parametrize("wait", ALL, ids=lambda wait: wait.__name__)


# Closing


@each_wait
async def test_closing_ends_whoever_waits(wait: Wait) -> None:
    stream, peer = connected()
    fill(stream)
    async with anyio.create_task_group() as group:
        await group.start(
            lambda task_status: failing(
                lambda: wait(stream), anyio.ClosedResourceError, task_status=task_status
            )
        )
        await wait_all_tasks_blocked()
        await stream.aclose()
    peer.close()


@each_wait
async def test_a_closed_stream_cannot_be_waited_for(wait: Wait) -> None:
    stream, peer = connected()
    await stream.aclose()
    await stream.aclose()
    with pytest.raises(anyio.ClosedResourceError, match="is closed"):
        await wait(stream)
    peer.close()


async def test_closing_in_a_cancelled_scope_closes_and_is_a_checkpoint() -> None:
    stream, peer = connected()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await stream.aclose()
    assert scope.cancelled_caught
    assert peer.recv(1) == b""
    peer.close()


async def test_a_stream_whose_loop_is_gone_can_be_closed() -> None:
    stream, peer = connected()
    await anyio.to_thread.run_sync(stream.close)  # no loop runs there
    assert stream.state is afunix.State.CLOSED
    peer.close()


# A socket that others share


@each_wait
async def test_a_given_socket_that_is_waited_for_stays_blocking_for_whoever_shares_it(wait: Wait) -> None:
    stream, peer = connected()
    fill(stream)
    with socket.socket(fileno=os.dup(stream.fileno())) as theirs:
        async with anyio.create_task_group() as group:
            group.start_soon(wait, stream)
            await wait_all_tasks_blocked()
            assert os.get_blocking(theirs.fileno())
            group.cancel_scope.cancel()
        sock, _ = stream.detach()
        assert os.get_blocking(theirs.fileno())
    sock.close()
    peer.close()


async def test_a_given_socket_is_woken_for_bytes_for_room_and_at_the_end() -> None:
    stream, peer = connected()
    taken: list[bytes] = []

    async def take() -> None:
        async for data in stream:
            taken.append(data)

    async with stream:
        fill(stream)
        with anyio.fail_after(5):
            for _ in range(2):  # what was made for the first wait is there for the next
                async with anyio.create_task_group() as group:
                    group.start_soon(stream.send, b"x" * 300_000)
                    await wait_all_tasks_blocked()
                    while stream._sending:
                        drain(peer)
                        await checkpoint()
            async with anyio.create_task_group() as group:
                group.start_soon(take)
                for data in (b"one", b"two"):
                    await wait_all_tasks_blocked()
                    peer.send(data)
                    while not taken or taken[-1] != data:
                        await checkpoint()
                await wait_all_tasks_blocked()
                drain(peer)
                peer.close()
    assert taken == [b"one", b"two"]


@pytest.mark.parametrize("ends", [Stream.close, lambda stream: stream.detach()[0].close()])
async def test_what_a_given_socket_was_waited_for_with_is_closed_with_it(
    ends: Callable[[Stream], None],
) -> None:
    stream, peer = connected()
    fill(stream)
    before = len(os.listdir("/proc/self/fd"))
    for wait in (Waits.receive, Waits.room):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(wait, stream)
                await wait_all_tasks_blocked()
                scope.cancel()
    ends(stream)
    assert len(os.listdir("/proc/self/fd")) == before - 1
    peer.close()


# Two tasks


@each_wait
async def test_a_second_task_is_refused_and_the_first_goes_on(wait: Wait) -> None:
    stream, peer = connected()
    fill(stream)
    async with anyio.create_task_group() as group:
        group.start_soon(wait, stream)
        await wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError) as raised:
            await wait(stream)
        assert isinstance(raised.value.__cause__, afunix.BusyError)
        await wait_all_tasks_blocked()  # the first among them
        group.cancel_scope.cancel()
    await stream.aclose()
    peer.close()


async def test_the_second_task_is_told_what_the_first_does() -> None:
    stream, peer = connected()
    async with anyio.create_task_group() as group:
        group.start_soon(stream.receive)
        await wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError, match="already reading from"):
            await stream.receive()
        peer.send(b"x")
    await stream.aclose()
    peer.close()


async def test_one_receives_while_another_sends_and_a_third_waits_for_the_end() -> None:
    stream, peer = connected()
    fill(stream)
    async with anyio.create_task_group() as group:
        for wait in (Waits.receive, Waits.send, Waits.hangup):
            group.start_soon(wait, stream)
        await wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    await stream.aclose()
    peer.close()


# Cancelling


async def test_what_a_cancelled_receive_had_comes_next() -> None:
    stream, peer = connected()
    async with stream:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(stream.receive_exactly, 8)
                await wait_all_tasks_blocked()
                peer.send(b"four")
                while stream.stats.bytes_received < 4:
                    await checkpoint()
                scope.cancel()
        peer.send(b"more")
        assert await stream.receive_exactly(8) == b"fourmore"
    peer.close()


@pytest.mark.parametrize("call", ["receive", "receive_until", "receive_exactly"])
async def test_a_receive_in_a_cancelled_scope_takes_nothing(call: str) -> None:
    stream, peer = connected()
    arguments = {"receive": (), "receive_until": (b"\n",), "receive_exactly": (2,)}
    async with stream:
        peer.send(b"x\n")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await getattr(stream, call)(*arguments[call])
        assert scope.cancelled_caught
        assert await stream.receive() == b"x\n"
    peer.close()


async def test_a_send_in_a_cancelled_scope_sends_nothing() -> None:
    stream, peer = connected()
    async with stream:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await stream.send(b"never")
        await stream.send(b"later")
        assert peer.recv(10) == b"later"
    peer.close()


async def test_a_send_that_is_cancelled_in_its_middle_ends_the_sending() -> None:
    stream, peer = connected()
    async with stream:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(stream.send, b"x" * 1_000_000)
                await wait_all_tasks_blocked()
                scope.cancel()
        gone = drain(peer)
        assert 0 < gone < 1_000_000
        with pytest.raises(anyio.BrokenResourceError, match=f"after {gone} of 1000000 bytes") as raised:
            await stream.send(b"y")
        assert isinstance(raised.value.__cause__, afunix.BrokenStreamError)
        assert raised.value.__cause__.bytes_sent == gone
        peer.send(b"still")
        assert await stream.receive() == b"still"
    peer.close()


async def test_a_send_that_is_cancelled_before_its_first_byte_is_none() -> None:
    stream, peer = connected()
    async with stream:
        filled = fill(stream)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(stream.send, b"never")
                await wait_all_tasks_blocked()
                scope.cancel()
        assert drain(peer) == filled
        await stream.send(b"later")
        assert peer.recv(10) == b"later"
    peer.close()


@each_wait
async def test_a_cancelled_wait_leaves_the_stream_free_for_the_next(wait: Wait) -> None:
    stream, peer = connected()
    async with stream:
        fill(stream)
        for _ in range(2):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(wait, stream)
                    await wait_all_tasks_blocked()
                    scope.cancel()
    peer.close()


# Every await is a checkpoint


@pytest.mark.parametrize(
    "call",
    [
        lambda stream: stream.receive(),
        lambda stream: stream.send(b"x"),
        lambda stream: stream.send(b""),
        lambda stream: stream.send_eof(),
        lambda stream: stream.receive_exactly(0),
        lambda stream: stream.wait_for_room(),
        lambda stream: stream.aclose(),
    ],
)
async def test_what_need_not_wait_can_be_cancelled(call: Callable[[Stream], Awaitable[object]]) -> None:
    stream, peer = connected()
    peer.send(b"x")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await call(stream)
    assert scope.cancelled_caught
    await stream.aclose()
    peer.close()


async def test_a_task_that_never_has_to_wait_lets_others_run() -> None:
    stream, peer = connected()
    others = anyio.Event()

    async def other() -> None:
        others.set()

    async with stream, anyio.create_task_group() as group:
        group.start_soon(other)
        for _ in range(100):
            await stream.send(b"")
        assert others.is_set()
    peer.close()


# Time and ends


async def test_a_peer_that_takes_nothing_for_too_long_is_given_up() -> None:
    one, other = pair(send_timeout=0.01)
    async with one, other:
        with pytest.raises(afunix.TimedOutError) as raised:
            await one.send(b"x" * 1_000_000)
        assert 0 < raised.value.bytes_sent < 1_000_000
        with pytest.raises(anyio.BrokenResourceError):
            await one.send(b"y")


async def test_a_peer_that_reads_makes_progress_before_there_is_room() -> None:
    one, other = pair(send_timeout=1)
    async with one, other, anyio.create_task_group() as group:
        started = anyio.current_time()

        async def read_slowly() -> None:
            while True:
                await anyio.sleep(0.3)
                await other.receive(1 << 15)

        group.start_soon(read_slowly)
        await one.send(bytes(300_000))
        assert anyio.current_time() - started > 1
        group.cancel_scope.cancel()


async def test_a_socket_that_is_ready_while_nothing_goes_makes_no_progress() -> None:
    near, far = socket.socketpair()
    faults = Faults()
    faults.sending.fail(errno.EAGAIN, None)
    stream = Stream(Channel(faults.apply_to(near)), send_timeout=0.01)
    with far, anyio.fail_after(5):
        async with stream:
            with pytest.raises(afunix.TimedOutError) as raised:
                await stream.send(b"x")
            assert raised.value.bytes_sent == 0


async def test_a_hang_up_is_told_and_a_half_close_is_none() -> None:
    stream, peer = connected()
    async with stream, anyio.create_task_group() as group:
        told = anyio.Event()

        async def watch() -> None:
            await stream.wait_hangup()
            told.set()

        group.start_soon(watch)
        peer.shutdown(socket.SHUT_WR)
        await wait_all_tasks_blocked()
        for _ in range(10):
            await checkpoint()
        assert not told.is_set()
        peer.close()
        with anyio.fail_after(5):
            await told.wait()


async def test_room_is_waited_for() -> None:
    stream, peer = connected()
    async with stream:
        fill(stream)
        with anyio.move_on_after(0.01) as scope:
            await stream.wait_for_room()
        assert scope.cancelled_caught
        drain(peer)
        with anyio.fail_after(5):
            await stream.wait_for_room()
    peer.close()


async def test_a_stream_in_use_is_not_given_away() -> None:
    stream, peer = connected()
    async with anyio.create_task_group() as group:
        group.start_soon(stream.wait_hangup)
        await wait_all_tasks_blocked()
        with pytest.raises(afunix.BusyError):
            stream.detach()
        group.cancel_scope.cancel()
    sock, unread = stream.detach()
    assert (unread, stream.state) == (b"", afunix.State.DETACHED)
    sock.close()
    peer.close()


def test_a_timeout_of_a_send_is_a_time() -> None:
    with pytest.raises(ValueError, match="send_timeout"):
        pair(send_timeout=-1)
    with pytest.raises(ValueError, match="send_timeout"):
        pair(send_timeout=math.nan)


async def test_a_socket_of_ours_is_detached_as_a_new_one_and_a_given_one_with_its_flag() -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    one, other = pair()
    for stream, blocks in ((one, True), (other, True), (attach(near), False), (attach(far), True)):
        sock, _ = stream.detach()
        with sock:
            assert os.get_blocking(sock.fileno()) is blocks
            assert sock.gettimeout() == (None if blocks else 0.0)
