"""A peer that reads and writes only when it is told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from afunix import BrokenStreamError, EndOfStream, Stream
from afunix.testing import Peer, stream_and_peer

Test = Callable[[Stream, Peer], Awaitable[None]]


def with_peer(test: Test, **options: int) -> None:
    async def main() -> None:
        stream, peer = stream_and_peer(**options)  # type: ignore[arg-type]
        async with stream, asyncio.timeout(5):
            with peer:
                await test(stream, peer)

    asyncio.run(main(), debug=True)


def test_it_reads_so_many_bytes_as_it_is_told() -> None:
    async def test(stream: Stream, peer: Peer) -> None:
        await stream.send(b"abcdef")
        assert [peer.read(4), peer.read(4), peer.read(4)] == [b"abcd", b"ef", None]

    with_peer(test)


def test_it_reads_the_end() -> None:
    async def test(stream: Stream, peer: Peer) -> None:
        await stream.send_eof()
        assert peer.read() == b""

    with_peer(test)


def test_a_slow_reader_slows_the_sender() -> None:
    async def test(stream: Stream, peer: Peer) -> None:
        sending = asyncio.create_task(stream.send(bytes(100_000)))
        received = 0
        while not sending.done():
            received += len(peer.read(1000) or b"")
            await asyncio.sleep(0)
        await sending
        while chunk := peer.read():
            received += len(chunk)
        assert received == 100_000

    with_peer(test, buffer_bytes=1)


def test_it_fills_the_way_of_those_who_write_to_the_stream() -> None:
    async def test(stream: Stream, peer: Peer) -> None:
        count = peer.fill()
        assert peer.write(b"x") == 0
        assert len(await stream.receive_exactly(count)) == count

    with_peer(test)


def test_its_half_close_is_the_streams_end() -> None:
    async def test(stream: Stream, peer: Peer) -> None:
        peer.write(b"last")
        peer.end()
        assert await stream.receive() == b"last"
        with pytest.raises(EndOfStream):
            await stream.receive()
        await stream.send(b"answer")
        assert peer.read() == b"answer"

    with_peer(test)


def test_closing_unread_is_a_reset() -> None:
    async def test(stream: Stream, peer: Peer) -> None:
        await stream.send(b"never read")
        peer.write(b"first")
        peer.close_unread()
        assert await stream.receive() == b"first"
        with pytest.raises(BrokenStreamError, match="ECONNRESET"):
            await stream.receive()

    with_peer(test)


def test_closing_unread_needs_something_unread() -> None:
    async def test(stream: Stream, peer: Peer) -> None:
        with pytest.raises(ValueError, match="nothing is unread"):
            peer.close_unread()
        assert peer.fileno() >= 0

    with_peer(test)


def test_a_peer_that_stops_reading_breaks_the_sending() -> None:
    async def test(stream: Stream, peer: Peer) -> None:
        peer.stop_reading()
        with pytest.raises(BrokenStreamError, match="EPIPE"):
            await stream.send(b"x")

    with_peer(test)


def test_descriptors_go_both_ways() -> None:
    async def test(stream: Stream, peer: Peer) -> None:
        peer.write(b"x", [peer])
        with await stream.receive_fds() as received:
            await stream.send_fds(b"y", received.fds)
        back = peer.read_fds()
        assert back is not None
        with back:
            assert os.path.sameopenfile(back.fds[0].fileno(), peer.fileno())

    with_peer(test, accept_fds=1)


def test_repr_tells_what_it_did() -> None:
    async def test(stream: Stream, peer: Peer) -> None:
        peer.write(b"abc")
        assert repr(peer) == f"<Peer fd={peer.fileno()} 0 bytes read, 3 written>"
        peer.close()
        assert repr(peer) == "<Peer closed 0 bytes read, 3 written>"

    with_peer(test)
