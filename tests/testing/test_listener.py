"""Servers whose accept(2) fails, and whose clients' connections do."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import afunix
from afunix.events import AcceptPaused, AcceptResumed, Closed, HandlerFailed
from afunix.testing import FaultyListener, Recorder, faulty_listener

Test = Callable[[afunix.Server], Awaitable[None]]


async def echo(stream: afunix.Stream) -> None:
    async for chunk in stream:
        await stream.send(chunk)


def with_server(listener: FaultyListener, test: Test, **options: Any) -> None:
    """Run `test(server)` against a server that echoes; what hangs fails."""

    async def main() -> None:
        async with asyncio.timeout(10), afunix.serve(echo, listener, **options) as server:
            await test(server)

    asyncio.run(main(), debug=True)


async def say(listener: FaultyListener, data: bytes = b"hello") -> bytes:
    """What the server answers to a new client."""
    async with await afunix.connect(listener.address) as stream:
        await stream.send(data)
        return await stream.receive_exactly(len(data))


@pytest.fixture
def listener(sock_dir: str) -> FaultyListener:
    return faulty_listener(f"{sock_dir}/s")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_shortage_is_waited_out_and_told_once(listener: FaultyListener, number: int) -> None:
    recorder = Recorder()
    listener.accepting.fail(number, 3)

    async def test(server: afunix.Server) -> None:
        assert await say(listener) == b"hello"

    with_server(listener, test, observer=recorder)
    assert [event.errno for event in recorder.of(AcceptPaused)] == [number]
    assert len(recorder.of(AcceptResumed)) == 1
    assert listener.accepting.failed == 3


def test_two_shortages_are_told_twice(listener: FaultyListener) -> None:
    recorder = Recorder()
    listener.accepting.fail(errno.EMFILE)
    listener.accepting.fail(errno.ENFILE, after=2)

    async def test(server: afunix.Server) -> None:
        assert [await say(listener) for _ in range(3)] == [b"hello"] * 3

    with_server(listener, test, observer=recorder)
    assert [event.errno for event in recorder.of(AcceptPaused)] == [errno.EMFILE, errno.ENFILE]


def test_shortage_is_a_warning_where_nobody_observes(
    listener: FaultyListener, caplog: pytest.LogCaptureFixture
) -> None:
    listener.accepting.fail(errno.EMFILE, 2)
    caplog.set_level(logging.WARNING, "afunix")

    async def test(server: afunix.Server) -> None:
        await say(listener)

    with_server(listener, test)
    assert [record.levelname for record in caplog.records if "EMFILE" in record.getMessage()] == ["WARNING"]


def test_those_who_are_served_go_on_while_accept_fails(listener: FaultyListener) -> None:
    listener.accepting.fail(errno.EMFILE, None, after=1)

    async def test(server: afunix.Server) -> None:
        async with await afunix.connect(listener.address) as first, await afunix.connect(listener.address):
            for _ in range(50):
                await first.send(b"x")
                await first.receive()
        listener.accepting.clear()
        assert await say(listener) == b"hello"

    with_server(listener, test)


def test_a_client_that_has_left_the_queue_is_nothing_to_the_next(listener: FaultyListener) -> None:
    recorder = Recorder()
    listener.accepting.fail(errno.ECONNABORTED, 10)

    async def test(server: afunix.Server) -> None:
        assert await say(listener) == b"hello"

    with_server(listener, test, observer=recorder)
    assert recorder.of(AcceptPaused) == []


def test_a_fault_that_does_not_pass_is_told_and_not_spun_on(listener: FaultyListener) -> None:
    listener.accepting.fail(errno.EOPNOTSUPP, None)
    told: list[dict[str, Any]] = []

    async def test(server: afunix.Server) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        async with await afunix.connect(listener.address):
            while not told:
                await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)
            assert listener.accepting.calls == 1
            assert [context["exception"].errno for context in told] == [errno.EOPNOTSUPP]
            listener.accepting.clear()  # for the stop, which looks into the queue

    with_server(listener, test)


def test_the_stop_serves_those_who_wait_though_descriptors_were_short(listener: FaultyListener) -> None:
    listener.accepting.fail(errno.EMFILE, 4)
    answers: list[bytes] = []

    async def main() -> None:
        async with asyncio.timeout(10):
            async with await afunix.connect(listener.address) as stream:
                await stream.send(b"waiting")
                async with afunix.serve(echo, listener):
                    pass
                answers.append(await stream.receive())

    asyncio.run(main(), debug=True)
    assert answers == [b"waiting"]


@pytest.mark.parametrize("observer", [None, Recorder()], ids=["unobserved", "observed"])
def test_each_client_has_its_own_faults(listener: FaultyListener, observer: Recorder | None) -> None:
    listener.client(2).sending.limit(1)

    async def test(server: afunix.Server) -> None:
        assert [await say(listener) for _ in range(2)] == [b"hello"] * 2

    with_server(listener, test, observer=observer)
    assert (listener.client(1).sending.calls, listener.client(2).sending.calls) == (1, 5)


def test_a_reset_of_one_client_is_not_its_neighbours(listener: FaultyListener) -> None:
    recorder = Recorder()
    listener.client(1).receiving.fail(errno.ECONNRESET)

    async def test(server: afunix.Server) -> None:
        async with await afunix.connect(listener.address) as broken:
            await broken.send(b"x")
            assert await say(listener) == b"hello"
        await recorder.wait_for(Closed, count=2)

    with_server(listener, test, observer=recorder)
    assert [event.connection for event in recorder.of(HandlerFailed)] == [1]


def test_a_listener_of_ones_own_waits_for_descriptors_too(listener: FaultyListener) -> None:
    listener.accepting.fail(errno.EMFILE, 2)

    async def main() -> None:
        async with asyncio.timeout(5), listener, await afunix.connect(listener.address) as client:
            async with await listener.accept() as served:
                await served.send(b"hello")
            assert await client.receive() == b"hello"

    asyncio.run(main(), debug=True)


def test_packets_can_be_served(sock_dir: str) -> None:
    listener = faulty_listener(f"{sock_dir}/s", type="seqpacket")
    listener.client(1).receiving.fail(errno.EAGAIN, 5)

    async def test(server: afunix.Server) -> None:
        async with await afunix.connect_packets(listener.address) as client:
            await client.send(b"packet")
            assert await client.receive() == b"packet"

    with_server(listener, test)


def test_closing_removes_the_path(listener: FaultyListener) -> None:
    path = os.fsdecode(listener.address.name)
    listener.close()
    assert not os.path.lexists(path)


def test_clients_are_counted_from_one_on(listener: FaultyListener) -> None:
    with listener, pytest.raises(ValueError, match="no client number 0"):
        listener.client(0)
