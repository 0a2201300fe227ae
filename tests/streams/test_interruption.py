"""Every operation of a Stream, interrupted at every place where it waits: nothing is lost, doubled, interleaved or left.

An operation runs in a task. At its k-th suspension, for every k until it comes to its end undisturbed, the task is
cancelled or the stream closed or aborted. Then the books are balanced: what the peer sent is what was delivered and
what can still be received; what the peer got is a prefix of what was sent, and after half a message nothing follows.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest
from tests.streams.event_loops import LOOPS, run_in, turns

from afunix.kernel.channel import Channel
from afunix.kernel.discarding_channel import DiscardingChannel
from afunix.model.errors import BrokenStreamError, ClosedError, EndOfStream
from afunix.streams.hub import _HUBS
from afunix.streams.stream import Stream

Delivered = list[bytes]
Receives = Callable[[Stream, Delivered], Coroutine[Any, Any, None]]
Sends = Callable[[Stream, bytes], Awaitable[object]]

PIECES = [
    b"one\n",
    b"tw",
    b"o\nthree--",
    b"\n",
    b"fo",
    b"ur-",
    b"-five\nsix\n",
    b"seven",
    b"\neight\n--",
    b"end",
]
SENT = b"".join(PIECES)
MESSAGES = [bytes([65 + number]) * 9_000 for number in range(3)]

ENOUGH = 400
"""More suspensions than any of them has."""


class Suspending:
    """A coroutine that is awaited, and says when it is suspended for the k-th time."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], k: int, at: Callable[[], None]) -> None:
        self.coroutine = coroutine
        self.k = k
        self.at = at
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, None]:
        error: BaseException | None = None
        while True:
            try:
                awaited = self.coroutine.send(None) if error is None else self.coroutine.throw(error)
            except StopIteration:
                return
            self.suspensions += 1
            if self.suspensions == self.k:
                asyncio.get_running_loop().call_soon(self.at)
            error = None
            try:
                yield awaited
            except BaseException as thrown:
                error = thrown


async def awaiting(suspending: Suspending) -> None:
    await suspending


# What is done to an operation


def cancel(task: asyncio.Task[None], stream: Stream, event: Callable[[], None]) -> None:
    task.cancel()


def cancel_twice(task: asyncio.Task[None], stream: Stream, event: Callable[[], None]) -> None:
    task.cancel()
    task.cancel("again")


def cancel_before_an_event(task: asyncio.Task[None], stream: Stream, event: Callable[[], None]) -> None:
    task.cancel()
    event()


def cancel_after_an_event(task: asyncio.Task[None], stream: Stream, event: Callable[[], None]) -> None:
    event()
    task.cancel()


def close(task: asyncio.Task[None], stream: Stream, event: Callable[[], None]) -> None:
    stream.close()


def abort(task: asyncio.Task[None], stream: Stream, event: Callable[[], None]) -> None:
    stream.abort()


def cancel_and_close(task: asyncio.Task[None], stream: Stream, event: Callable[[], None]) -> None:
    task.cancel()
    stream.close()


Interruption = Callable[["asyncio.Task[None]", Stream, Callable[[], None]], None]
CANCELS = [cancel, cancel_twice, cancel_before_an_event, cancel_after_an_event]
CLOSES = [close, abort, cancel_and_close]


# Receiving


async def by_receive(stream: Stream, delivered: Delivered) -> None:
    while True:
        delivered.append(await stream.receive(7))


async def by_chunks(stream: Stream, delivered: Delivered) -> None:
    async for chunk in stream:
        delivered.append(chunk)


async def by_receive_into(stream: Stream, delivered: Delivered) -> None:
    buffer = bytearray(5)
    while True:
        count = await stream.receive_into(buffer)
        delivered.append(bytes(buffer[:count]))


async def by_receive_exactly(stream: Stream, delivered: Delivered) -> None:
    while True:
        delivered.append(await stream.receive_exactly(11))


async def by_receive_until(stream: Stream, delivered: Delivered) -> None:
    while True:
        delivered.append(await stream.receive_until(b"--"))


async def by_lines(stream: Stream, delivered: Delivered) -> None:
    async for line in stream.lines(20):
        delivered.append(line)


async def by_receive_file(stream: Stream, delivered: Delivered) -> None:
    with tempfile.TemporaryFile() as file:
        try:
            await stream.receive_file(file)
        finally:
            file.seek(0)
            delivered.append(file.read())


async def by_receive_fds(stream: Stream, delivered: Delivered) -> None:
    while True:
        with await stream.receive_fds(7, max_fds=2) as received:
            delivered.append(received.data)


RECEIVES: list[Receives] = [
    by_receive,
    by_chunks,
    by_receive_into,
    by_receive_exactly,
    by_receive_until,
    by_lines,
    by_receive_file,
    by_receive_fds,
]


async def received_with(receives: Receives, k: int, interrupt: Interruption) -> bool:
    """Was it over before its k-th suspension? Otherwise it was interrupted there, and the books are in order."""
    near, far = socket.socketpair()
    stream = Stream(DiscardingChannel(near), loop=asyncio.get_running_loop(), accept_fds=2)
    pieces = iter(PIECES)

    def feed() -> None:
        piece = next(pieces, None)
        try:
            if piece is None:
                far.close()
            elif piece == b"fo":
                socket.send_fds(far, [piece], [0])
            else:
                far.send(piece)
        except BrokenPipeError:
            assert stream.is_closed

    delivered: Delivered = []
    with far:
        suspending = Suspending(
            receives(stream, delivered), k, lambda: interrupt(task, stream, feed) if not task.done() else None
        )
        task = asyncio.create_task(awaiting(suspending))
        await turns()
        for _ in range(len(PIECES) + 1):
            feed()
            await turns()
        while far.fileno() >= 0:
            feed()
        await turns(20)
        assert task.done()
        assert not stream._is_used()
        outcome = None if task.cancelled() else task.exception()
        if stream.is_closed:
            assert task.cancelled() or isinstance(outcome, ClosedError) or outcome is None
            assert SENT.startswith(b"".join(delivered))
        else:
            assert task.cancelled() or outcome is None or isinstance(outcome, EndOfStream)
            assert b"".join(delivered) + await rest_of(stream) == SENT
    stream.close()
    assert not _HUBS
    return suspending.suspensions < k


async def rest_of(stream: Stream) -> bytes:
    rest = []
    try:
        while True:
            rest.append(await stream.receive())
    except EndOfStream:
        return b"".join(rest)


@pytest.mark.parametrize("interrupt", CANCELS + CLOSES)
@pytest.mark.parametrize("receives", RECEIVES)
@pytest.mark.parametrize("kind", LOOPS)
def test_a_receive_that_is_interrupted_loses_nothing(
    kind: str, receives: Receives, interrupt: Interruption
) -> None:
    async def main() -> None:
        for k in range(1, ENOUGH):
            if await received_with(receives, k, interrupt):
                assert k > 2
                return
        raise AssertionError("it never ends undisturbed")

    run_in(kind, main())


# Sending


async def by_send(stream: Stream, message: bytes) -> None:
    await stream.send(message)


async def by_send_of_a_bytearray(stream: Stream, message: bytes) -> None:
    await stream.send(bytearray(message))


async def by_send_many(stream: Stream, message: bytes) -> None:
    await stream.send_many([message[:10], b"", bytearray(message[10:5000]), memoryview(message)[5000:]])


async def by_send_fds(stream: Stream, message: bytes) -> None:
    await stream.send_fds(message, [0])


async def by_send_file(stream: Stream, message: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(message)
        assert await stream.send_file(file) == len(message)


async def by_send_file_in_parts(stream: Stream, message: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"??" + message + b"??")
        assert await stream.send_file(file, offset=2, count=len(message)) == len(message)


async def by_send_file_without_copy(stream: Stream, message: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(message)
        assert await stream.send_file(file, count=len(message), zero_copy=True) == len(message)


SENDS: list[Sends] = [
    by_send,
    by_send_of_a_bytearray,
    by_send_many,
    by_send_fds,
    by_send_file,
    by_send_file_in_parts,
    by_send_file_without_copy,
]


async def sent_with(sends: Sends, k: int, interrupt: Interruption, send_timeout: float | None) -> bool:
    """As `received_with`."""
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    near.setblocking(False)
    far.setblocking(False)
    stream = Stream(Channel(near), loop=asyncio.get_running_loop(), send_timeout=send_timeout)
    got = bytearray()
    whole: list[bytes] = []

    async def send_all() -> None:
        for message in MESSAGES:
            await sends(stream, message)
            whole.append(message)

    def read() -> None:
        try:
            got.extend(far.recv(1500))
        except BlockingIOError:
            pass

    def at() -> None:
        if not task.done():
            interrupt(task, stream, read)

    with far:
        suspending = Suspending(send_all(), k, at)
        task = asyncio.create_task(awaiting(suspending))
        for _ in range(ENOUGH):
            await turns()
            if task.done():
                break
            read()
        assert task.done()
        assert not stream._is_used()
        if not stream.is_closed:
            await balance(stream, whole)
            stream.close()
        elif not task.cancelled():
            assert task.exception() is None or isinstance(task.exception(), ClosedError)
        while len(got) < stream.stats.bytes_sent:
            read()
    assert (b"".join(MESSAGES) + b"later").startswith(got) or got == b"".join(whole) + b"later"
    assert not _HUBS
    return suspending.suspensions < k


async def balance(stream: Stream, whole: list[bytes]) -> None:
    """Either the message that was interrupted is a no-op, and others may follow, or none may."""
    begun = stream.stats.bytes_sent - len(b"".join(whole))
    if begun == 0:
        stream.send_timeout = 0.001
        try:
            await stream.send(b"later")
        except TimeoutError as error:
            assert error.bytes_sent == 0  # type: ignore[attr-defined]
        return
    assert 0 < begun < len(MESSAGES[0])
    for _ in range(2):
        with pytest.raises(BrokenStreamError) as caught:
            await stream.send(b"later")
        assert caught.value.bytes_sent == begun


@pytest.mark.parametrize("interrupt", CANCELS + CLOSES)
@pytest.mark.parametrize("sends", SENDS)
@pytest.mark.parametrize("kind", LOOPS)
def test_a_send_that_is_interrupted_is_a_no_op_or_cuts(
    kind: str, sends: Sends, interrupt: Interruption
) -> None:
    async def main() -> None:
        for k in range(1, ENOUGH):
            if await sent_with(sends, k, interrupt, 60.0 if k % 2 else None):
                assert k > 2
                return
        raise AssertionError("it never ends undisturbed")

    run_in(kind, main())


# Without bytes


@pytest.mark.parametrize("interrupt", CANCELS + CLOSES)
@pytest.mark.parametrize("kind", LOOPS)
def test_a_wait_for_the_hangup_that_is_interrupted_leaves_nothing(kind: str, interrupt: Interruption) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        stream = Stream(Channel(near), loop=asyncio.get_running_loop())

        def event() -> None:
            far.send(b"x")

        suspending = Suspending(stream.wait_hangup(), 1, lambda: interrupt(task, stream, event))
        task = asyncio.create_task(awaiting(suspending))
        await turns(6)
        assert task.cancelled() or isinstance(task.exception(), ClosedError)
        assert not stream._is_used()
        stream.close()
        assert not _HUBS
        far.close()

    run_in(kind, main())


@pytest.mark.parametrize("kind", LOOPS)
def test_a_close_that_is_cancelled_has_closed(kind: str) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        stream = Stream(Channel(near), loop=asyncio.get_running_loop())
        task = asyncio.create_task(stream.aclose())
        await asyncio.sleep(0)
        task.cancel()
        await turns()
        assert (stream.is_closed, far.recv(1)) == (True, b"")
        far.close()

    run_in(kind, main())


def test_descriptors_of_the_process_are_as_many_as_before() -> None:
    async def main() -> None:
        before = len(os.listdir("/proc/self/fd"))
        for k in range(1, 20):
            await received_with(by_receive_fds, k, cancel)
            await received_with(by_receive_fds, k, close)
        assert len(os.listdir("/proc/self/fd")) == before

    run_in("asyncio", main())
