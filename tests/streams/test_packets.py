"""PacketStream in asyncio tasks, on both loops: boundaries, the end, room, and every way to be interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

import pytest
from tests.rival import Rival
from tests.streams.event_loops import LOOPS, run_in, turns

from afunix.kernel.channel import Channel
from afunix.model.errors import (
    AfunixError,
    BrokenStreamError,
    BusyError,
    ClosedError,
    EndOfStream,
    MessageTooLongError,
    TimedOutError,
    TruncatedError,
    WrongLoopError,
)
from afunix.model.stream_state import State
from afunix.streams.hub import _HUBS
from afunix.streams.packets import PacketStream

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Packets = tuple[PacketStream, PacketStream]


@pytest.fixture(scope="module", autouse=True)
def libuvs_own_pipe() -> None:
    """With its first loop libuv opens a pipe for the whole process, and keeps it."""
    if find_spec("uvloop") is not None:
        run_in("uvloop", asyncio.sleep(0))


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_in, request.param)


@asynccontextmanager
async def pair(**options: Any) -> AsyncIterator[Packets]:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    async with (
        PacketStream(Channel(near), loop=loop, **options) as one,
        PacketStream(Channel(far), loop=loop, **options) as other,
    ):
        yield one, other


async def fill(stream: PacketStream, size: int = 1000) -> int:
    """Send until there is no room; how many packets there are in the peer's queue."""
    count = 0
    while True:
        sending = asyncio.ensure_future(stream.send(count.to_bytes(4, "little") + bytes(size)))
        await turns(4)
        if not sending.done():
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
            return count
        await sending
        count += 1


def test_ten_thousand_packets_of_any_size_keep_their_boundaries(run: Run) -> None:
    chance = random.Random(70)
    sizes = [0 if chance.random() < 0.1 else int(chance.paretovariate(0.7)) % 20_000 for _ in range(10_000)]

    async def main() -> None:
        async with pair() as (one, other):

            async def send() -> None:
                for number, size in enumerate(sizes):
                    await one.send(bytes([number % 256]) * size)
                await one.send_eof()

            sending = asyncio.ensure_future(send())
            number = 0
            async for packet in other:
                assert packet == bytes([number % 256]) * sizes[number]
                number += 1
            await sending
            assert number == len(sizes)

    run(main())


def test_an_empty_packet_is_no_end(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            waiting = asyncio.ensure_future(other.receive())
            await turns()
            await one.send(b"")
            assert await waiting == b""
            await one.send_eof()
            for _ in range(2):
                with pytest.raises(EndOfStream, match="packet stream sends no more"):
                    await other.receive()
            assert other.state is State.RECEIVE_ENDED

    run(main())


def test_after_our_end_the_answer_still_comes(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            await one.send(b"question")
            await one.send_eof()
            await one.send_eof()
            with pytest.raises(ClosedError, match=r"sends no more: send_eof\(\) was called"):
                await one.send(b"")
            assert [packet async for packet in other] == [b"question"]
            await other.send(b"answer")
            assert await one.receive() == b"answer"

    run(main())


def test_a_packet_longer_than_max_bytes_stays(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            await one.send(b"12345")
            with pytest.raises(TruncatedError):
                await other.receive(4)
            assert await other.receive(5) == b"12345"
            with pytest.raises(ValueError, match="max_bytes is 0"):
                await other.receive(0)

    run(main())


def test_a_packet_that_is_too_long_is_refused_and_the_next_one_goes(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            with pytest.raises(MessageTooLongError) as refused:
                await one.send(bytes(one.max_packet_bytes + 1))
            assert str(one.max_packet_bytes) in str(refused.value)
            await one.send(bytes(one.max_packet_bytes))
            assert len(await other.receive()) == one.max_packet_bytes
            assert one.state is State.OPEN

    run(main())


def test_a_peer_that_does_not_read_slows_its_sender(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            queued = await fill(one)
            sending = asyncio.ensure_future(one.send(b"last"))
            before = time.process_time()
            await asyncio.sleep(0.05)
            assert time.process_time() - before < 0.04
            for number in range(queued):
                assert (await other.receive())[:4] == number.to_bytes(4, "little")
            await sending
            assert await other.receive() == b"last"

    run(main())


def test_no_room_for_send_timeout_raises_and_nothing_went(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            queued = await fill(one)
            one.send_timeout = 0.02
            with pytest.raises(TimedOutError) as told:
                await one.send(b"late")
            assert told.value.bytes_sent == 0
            for _ in range(queued):
                await other.receive()
            await one.send(b"next")
            assert await other.receive() == b"next"

    run(main())


def test_data_before_a_reset_comes_first(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            await other.send(b"answer")
            await one.send(b"never read")
            other.close()
            assert await one.receive() == b"answer"
            for _ in range(2):
                with pytest.raises(BrokenStreamError, match="ECONNRESET"):
                    await one.receive()
            with pytest.raises(BrokenStreamError, match="EPIPE"):
                await one.send(b"")

    run(main())


def test_one_task_a_direction(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            receiving = asyncio.ensure_future(one.receive())
            await fill(one)
            sending = asyncio.ensure_future(one.send(b"last"))
            await turns()
            with pytest.raises(BusyError, match="receiving"):
                await one.receive()
            with pytest.raises(BusyError, match="sending"):
                await one.send(b"")
            with pytest.raises(BusyError, match="sending"):
                await one.send_eof()
            with pytest.raises(BusyError, match="is using"):
                one.detach()
            await other.send(b"1")
            assert await receiving == b"1"
            one.close()
            with pytest.raises(ClosedError):
                await sending

    run(main())


@pytest.mark.parametrize("end", [PacketStream.close, PacketStream.abort])
def test_who_waits_hears_of_the_close(run: Run, end: Callable[[PacketStream], None]) -> None:
    async def main() -> None:
        async with pair() as (one, _):
            await fill(one)
            waiting = [asyncio.ensure_future(one.receive()), asyncio.ensure_future(one.send(b""))]
            hangup = asyncio.ensure_future(one.wait_hangup())
            await turns()
            end(one)
            for task in (*waiting, hangup):
                with pytest.raises(ClosedError, match="this packet stream is closed"):
                    await task
            assert one.state is State.CLOSED

    run(main())


def test_a_hang_up_is_noticed_without_taking_a_packet(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            await other.send(b"kept")
            waiting = asyncio.ensure_future(one.wait_hangup())
            await turns()
            assert not waiting.done()
            other.close()
            await waiting
            assert await one.receive() == b"kept"

    run(main())


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("full", [False, True])
def test_cancelled_anywhere_a_packet_went_whole_or_not_at_all(run: Run, turn: int, full: bool) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            queued = await fill(one) if full else 0
            sending = asyncio.ensure_future(one.send(b"cancelled"))
            receiving = asyncio.ensure_future(one.receive())
            await turns(turn)
            sending.cancel()
            receiving.cancel()
            await asyncio.wait([sending, receiving])
            for _ in range(queued):
                await other.receive()
            await other.send(b"kept")
            assert await one.receive() == b"kept"
            await one.send(b"after")
            expected = [b"after"] if sending.cancelled() else [b"cancelled", b"after"]
            assert [await other.receive() for _ in expected] == expected
        assert asyncio.get_running_loop() not in _HUBS

    run(main())


def test_cancelled_with_a_packet_at_hand_it_is_still_there(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            receiving = asyncio.ensure_future(one.receive())
            await turns()
            await other.send(b"kept")
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving
            assert await one.receive() == b"kept"

    run(main())


def test_who_never_waits_lets_others_run(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            turned = 0

            async def others() -> None:
                nonlocal turned
                while True:
                    turned += 1
                    await asyncio.sleep(0)

            task = asyncio.ensure_future(others())
            for _ in range(1000):
                await one.send(b"x")
                await other.receive()
            assert turned > 10
            task.cancel()

    run(main())


@pytest.mark.parametrize("count", [1, 253])
def test_descriptors_travel_with_their_packet(run: Run, count: int) -> None:
    async def main() -> None:
        async with pair(accept_fds=253) as (one, other):
            with open("/proc/self/status", "rb") as file:
                await one.send_fds(b"first", [file] * count)
                await one.send(b"second")
                file.read(10)
            with await other.receive_fds() as received:
                assert (received.data, len(received.fds)) == (b"first", count)
                assert os.lseek(received.fds[-1].fileno(), 0, os.SEEK_CUR) > 0, "the same open file"
                assert not os.get_inheritable(received.fds[0].fileno())
            with await other.receive_fds() as received:
                assert (received.data, received.fds) == (b"second", ())

    run(main())


def test_an_empty_packet_can_carry_descriptors(run: Run) -> None:
    async def main() -> None:
        async with pair(accept_fds=1) as (one, other):
            await one.send_fds(b"", [one])
            await one.send_eof()
            with await other.receive_fds() as received:
                assert (received.data, len(received.fds)) == (b"", 1)
            with pytest.raises(EndOfStream):
                await other.receive_fds()

    run(main())


def test_more_descriptors_than_asked_for_raise_and_stay(run: Run) -> None:
    async def main() -> None:
        async with pair(accept_fds=3) as (one, other):
            await one.send_fds(b"x", [one] * 3)
            before = len(os.listdir("/proc/self/fd"))
            with pytest.raises(TruncatedError, match=r"than were asked for \(2"):
                await other.receive_fds(max_fds=2)
            assert len(os.listdir("/proc/self/fd")) == before
            with await other.receive_fds(max_fds=3) as received:
                assert len(received.fds) == 3

    run(main())


def test_a_plain_receive_closes_descriptors_and_counts(run: Run) -> None:
    async def main() -> None:
        async with pair(accept_fds=1) as (one, other):
            await one.send_fds(b"x", [one])
            before = len(os.listdir("/proc/self/fd"))
            assert await other.receive() == b"x"
            assert len(os.listdir("/proc/self/fd")) == before
            assert other.stats.descriptors_closed == 1

    run(main())


def test_descriptors_have_to_be_asked_for(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            with pytest.raises(AfunixError, match="without accept_fds"):
                await other.receive_fds()
            with pytest.raises(ValueError, match="254 descriptors"):
                await one.send_fds(b"x", [0] * 254)
            with pytest.raises(TypeError, match="expected a descriptor"):
                await one.send_fds(b"x", ["0"])  # type: ignore[list-item]

    run(main())


def test_detached_the_packets_are_still_there(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            await other.send(b"1")
            await other.send(b"")
            assert await one.receive() == b"1"
            with one.detach() as sock:
                assert one.state is State.DETACHED
                again = PacketStream(Channel(sock), loop=asyncio.get_running_loop())
                assert await again.receive() == b""
                again.close()
            with pytest.raises(ClosedError, match="this packet stream was detached"):
                await one.receive()

    run(main())


def test_a_packet_that_waits_here_is_received_before_it_can_be_detached(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            one._channel.socket = Rival.of(one._channel.socket)
            await other.send(b"1")
            await other.send(b"22")
            with pytest.raises(TruncatedError):
                await one.receive(1)
            with pytest.raises(BusyError, match="a packet waits here"):
                one.detach()
            assert await one.receive() == b"22"
            one.detach().close()

    run(main())


def test_what_it_knows_stays_valid_after_close(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            await one.send(b"12")
            await other.receive()
            assert one.peer.pid == os.getpid()
            one.close()
            one.close()
            assert (one.peer.uid, one.stats.bytes_sent, str(one.peer_address)) == (
                os.getuid(),
                2,
                "(unnamed)",
            )
            with pytest.raises(ClosedError):
                one.max_packet_bytes  # noqa: B018

    run(main())


def test_another_loop_is_told() -> None:
    async def make() -> Packets:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return PacketStream(Channel(near), loop=loop), PacketStream(Channel(far), loop=loop)

    async def use(stream: PacketStream) -> None:
        with pytest.raises(WrongLoopError, match="this packet stream belongs to another event loop"):
            await stream.receive()
        with pytest.raises(WrongLoopError):
            await stream.send(b"")
        with pytest.raises(WrongLoopError):
            await stream.wait_hangup()

    one, other = asyncio.run(make())
    asyncio.run(use(one))
    one.close()
    other.close()


def test_forgotten_it_warns(run: Run) -> None:
    async def main() -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            stream = PacketStream(Channel(near), loop=asyncio.get_running_loop(), opened_at="here.py:1")
            with pytest.warns(ResourceWarning, match=r"unclosed <afunix.PacketStream .*opened at here.py:1"):
                del stream
                gc.collect()

    run(main())
