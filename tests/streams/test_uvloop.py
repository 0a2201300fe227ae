"""The library under uvloop, whose loop is not asyncio's: a fair set of what a service does, end to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from tests.streams.event_loops import run_in

import afunix

uvloop = pytest.importorskip("uvloop")
uvloop.new_event_loop().close()  # libuv keeps a pipe for signals from its first loop on; that is no leak of a test's


async def echo(stream: afunix.Stream) -> None:
    async for chunk in stream:
        await stream.send(chunk)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def checked() -> None:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        await main()

    run_in("uvloop", checked())


@contextlib.asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[afunix.Stream, afunix.Stream]]:
    one, other = afunix.pair(**options)
    async with one, other:
        yield one, other


def test_a_server_serves_many_clients_at_once(sock_dir: str) -> None:
    path = f"{sock_dir}/s"

    async def client(number: int) -> None:
        async with await afunix.connect(path) as stream:
            for turn in range(10):
                message = b"%d %d\n" % (number, turn)
                await stream.send(message)
                assert await stream.receive_until(b"\n") == message

    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            await asyncio.gather(*map(client, range(20)))
            assert server.stats.accepted == 20
        assert not os.path.exists(path)

    run(main)


def test_a_server_stops_at_sigterm(sock_dir: str) -> None:
    path = f"{sock_dir}/s"

    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            stopping = asyncio.create_task(server.run_until_signal())
            stream = await afunix.connect(path)
            await stream.send(b"x")
            assert await stream.receive() == b"x"
            os.kill(os.getpid(), signal.SIGTERM)
            assert await stopping is signal.SIGTERM
        async with stream:
            with pytest.raises(afunix.EndOfStream):
                await stream.receive()

    run(main)


def test_a_client_reaches_an_abstract_name() -> None:
    async def main() -> None:
        name = f"@af-{os.getpid()}-uvloop"
        async with afunix.listen(name) as listener, await afunix.connect(name) as client:
            stream = await listener.accept()
            await client.send(b"x")
            assert await stream.receive() == b"x"
            await stream.aclose()

    run(main)


def test_a_full_backlog_is_waited_for(sock_dir: str) -> None:
    path = f"{sock_dir}/s"

    async def main() -> None:
        async with afunix.listen(path, backlog=0) as listener, await afunix.connect(path):
            dialling = asyncio.create_task(afunix.connect(path, timeout=30))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(dialling), 0.01)
            await (await listener.accept()).aclose()
            await (await dialling).aclose()

    run(main)


def test_more_than_fits_goes_both_ways_whole() -> None:
    async def main() -> None:
        data = os.urandom(2_000_000)
        async with connected() as (one, other):
            sending = asyncio.gather(one.send(data), other.send(data))
            received = await asyncio.gather(one.receive_exactly(len(data)), other.receive_exactly(len(data)))
            await sending
            assert [*received] == [data, data]

    run(main)


def test_a_cancelled_receive_loses_nothing() -> None:
    async def main() -> None:
        async with connected() as (one, other):
            receiving = asyncio.create_task(one.receive_exactly(8))
            await other.send(b"four")
            while one.stats.bytes_received < 4:
                await asyncio.sleep(0)
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving
            await other.send(b"more")
            assert await one.receive_exactly(8) == b"fourmore"

    run(main)


def test_a_send_that_is_cancelled_in_its_middle_ends_the_sending() -> None:
    async def main() -> None:
        async with connected() as (one, _):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await one.send(b"x" * 1_000_000)
            with pytest.raises(afunix.BrokenStreamError):
                await one.send(b"y")

    run(main)


def test_descriptors_arrive() -> None:
    async def main() -> None:
        async with connected(accept_fds=1) as (one, other):
            await one.send_fds(b"x", [0])
            with await other.receive_fds() as received:
                (fd,) = received
                assert os.path.sameopenfile(fd.fileno(), 0)

    run(main)


def test_closing_ends_whoever_waits_and_a_hang_up_is_told() -> None:
    async def main() -> None:
        async with connected() as (one, other):
            hung_up = asyncio.create_task(one.wait_hangup())
            receiving = asyncio.create_task(other.receive())
            await asyncio.sleep(0)
            other.close()
            with pytest.raises(afunix.ClosedError):
                await receiving
            await hung_up

    run(main)


def test_a_socket_from_elsewhere_becomes_a_stream() -> None:
    async def main() -> None:
        given, peer = socket.socketpair()
        async with afunix.attach(given) as stream:
            peer.send(b"x")
            assert await stream.receive() == b"x"
        peer.close()

    run(main)
