"""A stream as asyncio's pair: no byte is lost on the way, its state comes along, and what fails leaves nothing open."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from tests.streams.event_loops import LOOPS, run_in

import afunix
from afunix import as_asyncio

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module", autouse=True)
def libuvs_own_pipe() -> None:
    """With its first loop libuv opens a pipe for the whole process, and keeps it."""
    for param in LOOPS:
        if param != "asyncio":
            pytest.importorskip("uvloop").new_event_loop().close()


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_in, request.param)


Bridged = tuple[asyncio.StreamReader, asyncio.StreamWriter, socket.socket]


async def bridged(unread: bytes = b"", **options: Any) -> Bridged:
    one, other = socket.socketpair()
    reader, writer = await as_asyncio(afunix.attach(one, unread=unread), **options)
    return reader, writer, other


async def close(writer: asyncio.StreamWriter, *others: socket.socket) -> None:
    writer.close()
    await writer.wait_closed()
    for other in others:
        other.close()


def test_bytes_go_both_ways(run: Run) -> None:
    async def main() -> None:
        reader, writer, peer = await bridged()
        peer.send(b"question\n")
        assert await reader.readline() == b"question\n"
        writer.write(b"answer\n")
        await writer.drain()
        assert peer.recv(100) == b"answer\n"
        await close(writer, peer)

    run(main())


def test_what_is_unread_comes_before_what_the_socket_holds(run: Run) -> None:
    async def main() -> None:
        one, peer = socket.socketpair()
        stream = afunix.attach(one)
        peer.send(b"one\ntwo\nthree")
        assert await anext(stream.lines()) == b"one\n"
        reader, writer = await as_asyncio(stream)
        peer.send(b" and more")
        peer.close()
        assert await reader.read() == b"two\nthree and more"
        await close(writer)

    run(main())


def test_more_unread_than_the_reader_takes_ahead_arrives_whole(run: Run) -> None:
    async def main() -> None:
        data = os.urandom(100_000)
        reader, writer, peer = await bridged(data, limit=10)
        peer.send(b"!")
        peer.close()
        assert await reader.read() == data + b"!"
        await close(writer)

    run(main())


def test_it_says_who_is_there(run: Run) -> None:
    async def main() -> None:
        _, writer, peer = await bridged()
        who = writer.get_extra_info("peer")
        assert (who.uid, who.pid) == (os.getuid(), os.getpid())
        assert writer.get_extra_info("socket").family == socket.AF_UNIX
        assert writer.get_extra_info("nothing", 1) == 1
        await close(writer, peer)

    run(main())


def test_a_stream_that_is_given_over_is_detached(run: Run) -> None:
    async def main() -> None:
        one, peer = afunix.pair()
        _, writer = await as_asyncio(one)
        assert one.state is afunix.State.DETACHED
        with pytest.raises(afunix.ClosedError, match="detached"):
            await one.send(b"x")
        await close(writer)
        await peer.aclose()

    run(main())


def test_after_a_half_close_the_answer_can_still_be_read(run: Run) -> None:
    async def main() -> None:
        reader, writer, peer = await bridged()
        writer.write(b"question")
        writer.write_eof()
        assert await asyncio.to_thread(peer.recv, 100) == b"question"
        assert await asyncio.to_thread(peer.recv, 100) == b""
        peer.send(b"answer")
        peer.close()
        assert await reader.read() == b"answer"
        await close(writer)

    run(main())


def test_an_end_that_was_sent_stays_sent(run: Run) -> None:
    async def main() -> None:
        one, peer = afunix.pair()
        await one.send_eof()
        reader, writer = await as_asyncio(one)
        with pytest.raises(RuntimeError):
            writer.write(b"x")
        await peer.send(b"answer")
        await peer.aclose()
        assert await reader.read() == b"answer"
        await close(writer)

    run(main())


def test_an_end_that_was_received_is_told_again(run: Run) -> None:
    async def main() -> None:
        one, peer = afunix.pair()
        await peer.send_eof()
        with pytest.raises(afunix.EndOfStream):
            await one.receive()
        reader, writer = await as_asyncio(one)
        assert await reader.read() == b""
        writer.write(b"still")
        await writer.drain()
        assert await peer.receive() == b"still"
        await close(writer)
        await peer.aclose()

    run(main())


def test_a_broken_stream_is_refused_and_stays_what_it_is(run: Run) -> None:
    async def main() -> None:
        one, peer = afunix.pair()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await one.send(b"x" * 1_000_000)
        with pytest.raises(afunix.BrokenStreamError):
            await as_asyncio(one)
        assert one.state is afunix.State.BROKEN
        await one.aclose()
        await peer.aclose()

    run(main())


def test_a_stream_in_use_is_refused_and_goes_on(run: Run) -> None:
    async def main() -> None:
        one, peer = afunix.pair()
        receiving = asyncio.create_task(one.receive())
        await asyncio.sleep(0)
        with pytest.raises(afunix.BusyError):
            await as_asyncio(one)
        await peer.send(b"x")
        assert await receiving == b"x"
        await one.aclose()
        await peer.aclose()

    run(main())


def test_a_limit_that_cannot_be_leaves_the_stream_alone(run: Run) -> None:
    async def main() -> None:
        one, peer = afunix.pair()
        with pytest.raises(ValueError, match=r"(?i)limit"):
            await as_asyncio(one, limit=0)
        await one.send(b"x")
        assert await peer.receive() == b"x"
        await one.aclose()
        await peer.aclose()

    run(main())


def test_cancelled_on_the_way_it_closes_the_socket(run: Run) -> None:
    async def main() -> None:
        one, peer = afunix.pair()
        given_over = asyncio.create_task(as_asyncio(one))
        await asyncio.sleep(0)
        given_over.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_over
        with pytest.raises(afunix.EndOfStream):
            await peer.receive()
        await peer.aclose()

    run(main())


def test_where_asyncio_makes_no_transport_the_socket_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no transport")

    async def main() -> None:
        one, peer = afunix.pair()
        with pytest.raises(OSError, match="no transport"):
            await as_asyncio(one)
        with pytest.raises(afunix.EndOfStream):
            await peer.receive()
        await peer.aclose()

    monkeypatch.setattr(asyncio.SelectorEventLoop, "create_unix_connection", refuse)
    run_in("asyncio", main())
