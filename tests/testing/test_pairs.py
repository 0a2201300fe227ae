"""Two connected ends, of every kind, and what belongs to which of them."""

from __future__ import annotations

import asyncio

import pytest

from afunix.events import BytesWritten
from afunix.testing import Faults, Recorder, blocking_pair, packet_pair, pair, stream_and_peer


def test_streams_talk_to_each_other() -> None:
    async def main() -> None:
        one, other = pair()
        async with one, other:
            await one.send(b"ping")
            await other.send(b"pong")
            assert (await other.receive(), await one.receive()) == (b"ping", b"pong")

    asyncio.run(main(), debug=True)


def test_packets_keep_their_boundaries() -> None:
    async def main() -> None:
        one, other = packet_pair()
        async with one, other:
            await one.send(b"a")
            await one.send(b"b")
            assert [await other.receive(), await other.receive()] == [b"a", b"b"]

    asyncio.run(main(), debug=True)


def test_blocking_streams_need_no_loop() -> None:
    one, other = blocking_pair()
    with one, other:
        one.send(b"ping")
        assert other.receive() == b"ping"


def test_blocking_streams_do_not_hang_a_test() -> None:
    one, other = blocking_pair(timeout=0)
    with one, other, pytest.raises(TimeoutError):
        one.receive()


def test_without_a_loop_there_are_no_streams() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        pair()


def test_faults_and_observer_are_the_first_ones() -> None:
    async def main() -> None:
        faults, recorder = Faults(), Recorder()
        one, other = pair(faults=faults, observer=recorder)
        async with one, other:
            await other.send(b"plain")
            await one.send(b"observed")
        assert faults.sending.calls == 1
        assert [event.count for event in recorder.of(BytesWritten)] == [8]

    asyncio.run(main())


def test_descriptors_can_be_passed_when_they_are_asked_for() -> None:
    async def main() -> None:
        one, other = pair(accept_fds=1)
        async with one, other:
            await one.send_fds(b"x", [one])
            with await other.receive_fds() as received:
                assert len(received.fds) == 1

    asyncio.run(main())


def test_a_small_buffer_is_full_soon() -> None:
    async def main() -> int:
        stream, peer = stream_and_peer(buffer_bytes=1, send_timeout=0.001)
        with peer:
            async with stream:
                with pytest.raises(TimeoutError) as refused:
                    await stream.send(bytes(1 << 20))
        return getattr(refused.value, "bytes_sent", -1)

    assert asyncio.run(main()) < 1 << 14


def test_a_forgotten_stream_tells_where_the_test_opened_it() -> None:
    async def main() -> None:
        one, other = pair()
        async with other:
            with pytest.warns(ResourceWarning, match=r"test_pairs\.py:\d+"):
                del one

    asyncio.run(main())
