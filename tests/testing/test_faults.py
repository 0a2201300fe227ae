"""Faults as planned, and what streams make of them: storms of EAGAIN, short writes, resets, lost descriptors."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable

import pytest

from afunix import BrokenStreamError, PacketStream, Stream, TruncatedError
from afunix.events import BytesRead, BytesWritten
from afunix.testing import Faults, Recorder, blocking_pair, packet_pair, pair
from afunix.testing.faults import Calls, Receives

AsyncTest = Callable[[Stream, Stream], Awaitable[None]]


def with_pair(faults: Faults, test: AsyncTest, accept_fds: int = 0, observer: Recorder | None = None) -> None:
    """Run `test(faulty, plain)`; what hangs fails."""

    async def main() -> None:
        one, other = pair(faults=faults, accept_fds=accept_fds, observer=observer)
        async with one, other, asyncio.timeout(5):
            await test(one, other)

    asyncio.run(main(), debug=True)


def outcomes(calls: Calls, count: int) -> list[str]:
    """What becomes of the next calls."""
    found = []
    for _ in range(count):
        try:
            calls.happen()
        except OSError as error:
            found.append(errno.errorcode[error.errno or 0])
        else:
            found.append("")
    return found


# The plan


def test_nothing_goes_wrong_that_was_not_planned() -> None:
    assert outcomes(Calls(), 3) == ["", "", ""]


def test_the_chosen_call_fails() -> None:
    calls = Calls()
    calls.fail(errno.EPIPE, after=2)
    assert outcomes(calls, 4) == ["", "", "EPIPE", ""]


def test_so_many_calls_fail_and_then_it_recovers() -> None:
    calls = Calls()
    calls.fail(errno.EMFILE, 2)
    assert outcomes(calls, 3) == ["EMFILE", "EMFILE", ""]


def test_a_second_plan_begins_where_the_first_ends() -> None:
    calls = Calls()
    calls.fail(errno.EMFILE)
    calls.fail(errno.ENFILE, after=1)
    assert outcomes(calls, 4) == ["EMFILE", "", "ENFILE", ""]


def test_a_plan_counts_from_the_call_that_comes_next() -> None:
    calls = Calls()
    outcomes(calls, 5)
    calls.fail(errno.EPIPE)
    assert outcomes(calls, 2) == ["EPIPE", ""]


def test_a_plan_without_an_end_lasts_until_it_is_cleared() -> None:
    calls = Calls()
    calls.fail(errno.EPIPE, None)
    assert outcomes(calls, 100) == ["EPIPE"] * 100
    calls.clear()
    assert outcomes(calls, 1) == [""]


def test_calls_and_failures_are_counted() -> None:
    calls = Calls()
    calls.fail(errno.EPIPE, 2)
    outcomes(calls, 5)
    assert (calls.calls, calls.failed) == (5, 2)


def test_leaving_the_with_ends_every_plan() -> None:
    with Faults() as faults:
        faults.sending.fail(errno.EPIPE)
        faults.sending.limit(1)
        faults.receiving.limit(1)
        faults.receiving.truncate_control()
    assert "planned: nothing" in repr(faults.sending)
    assert "planned: nothing" in repr(faults.receiving)


def test_repr_tells_the_plan() -> None:
    receiving = Receives()
    receiving.happen()
    receiving.fail(errno.EAGAIN, 3)
    receiving.fail(errno.ECONNRESET, None)
    receiving.limit(7)
    receiving.truncate_control()
    planned = "EAGAIN at call 2-4, ECONNRESET at call 5 and on, at most 7 bytes, MSG_CTRUNC 1 times"
    assert repr(receiving) == f"<1 calls, 0 failed; planned: {planned}>"


@pytest.mark.parametrize("arguments", [(0,), (-1,), (errno.EPIPE, 0), (errno.EPIPE, 1, -1)])
def test_what_cannot_be_planned_is_refused(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected|no errno"):
        Calls().fail(*arguments[:2], after=sum(arguments[2:]))


def test_a_limit_of_nothing_is_no_end_of_file() -> None:
    with pytest.raises(ValueError, match="max_bytes is 0, expected 1 or more"):
        Receives().limit(0)


# Streams


def test_a_storm_of_eagain_delays_a_receive_and_no_more() -> None:
    faults = Faults()
    faults.receiving.fail(errno.EAGAIN, 500)

    async def test(faulty: Stream, plain: Stream) -> None:
        await plain.send(b"hello")
        assert await faulty.receive() == b"hello"

    with_pair(faults, test)
    assert faults.receiving.failed == 500


def test_a_storm_of_eagain_delays_a_send_and_no_more() -> None:
    faults = Faults()
    faults.sending.fail(errno.EAGAIN, 500)

    async def test(faulty: Stream, plain: Stream) -> None:
        await faulty.send(b"hello")
        assert await plain.receive() == b"hello"

    with_pair(faults, test)
    assert faults.sending.failed == 500


def test_eagain_in_the_middle_of_a_line_loses_nothing() -> None:
    faults = Faults()
    faults.receiving.limit(2)
    for _ in range(3):
        faults.receiving.fail(errno.EAGAIN, 2, after=1)

    async def test(faulty: Stream, plain: Stream) -> None:
        await plain.send(b"one\ntwo\nunfinished")
        await plain.send_eof()
        assert [line async for line in faulty.lines()] == [b"one\n", b"two\n", b"unfinished"]

    with_pair(faults, test)


def test_a_receive_that_is_cancelled_in_the_middle_puts_back_what_came() -> None:
    faults = Faults()
    faults.receiving.limit(3)
    faults.receiving.fail(errno.EAGAIN, None, after=2)

    async def test(faulty: Stream, plain: Stream) -> None:
        await plain.send(b"0123456789")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await faulty.receive_exactly(10)
        faults.clear()
        assert await faulty.receive() == b"012345"
        assert await faulty.receive() == b"6789"

    with_pair(faults, test)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 13])
def test_short_writes_of_many_buffers_keep_every_byte_in_its_place(limit: int) -> None:
    faults = Faults()
    faults.sending.limit(limit)

    async def test(faulty: Stream, plain: Stream) -> None:
        await faulty.send_many([b"ab", b"", b"cdefg", bytearray(b"h"), memoryview(b"ij")])
        assert await plain.receive_exactly(10) == b"abcdefghij"

    with_pair(faults, test)
    assert faults.sending.calls == -(-10 // limit)


def test_short_writes_between_storms_are_still_one_send() -> None:
    faults = Faults()
    faults.sending.limit(4)
    for _ in range(5):
        faults.sending.fail(errno.EAGAIN, 3, after=1)

    async def test(faulty: Stream, plain: Stream) -> None:
        await faulty.send(b"0123456789" * 10)
        assert await plain.receive_exactly(100) == b"0123456789" * 10

    with_pair(faults, test)
    assert faults.sending.failed == 15


def test_a_send_that_is_cancelled_after_a_short_write_cuts_the_sending() -> None:
    faults = Faults()
    faults.sending.limit(3)
    faults.sending.fail(errno.EAGAIN, None, after=1)

    async def test(faulty: Stream, plain: Stream) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await faulty.send(b"hello")
        faults.clear()
        with pytest.raises(BrokenStreamError, match="3 of 5 bytes") as broken:
            await faulty.send(b"next")
        assert broken.value.bytes_sent == 3
        assert await plain.receive() == b"hel"

    with_pair(faults, test)


def test_a_reset_is_told_after_what_came_before_it() -> None:
    faults = Faults()
    faults.receiving.fail(errno.ECONNRESET, after=1)

    async def test(faulty: Stream, plain: Stream) -> None:
        await plain.send(b"first")
        assert await faulty.receive() == b"first"
        with pytest.raises(BrokenStreamError, match="ECONNRESET"):
            await faulty.receive()

    with_pair(faults, test)


def test_a_broken_pipe_in_the_middle_of_a_send_says_how_many_bytes_had_gone() -> None:
    faults = Faults()
    faults.sending.limit(3)
    faults.sending.fail(errno.EPIPE, after=2)

    async def test(faulty: Stream, plain: Stream) -> None:
        with pytest.raises(BrokenStreamError, match=r"EPIPE\); 6 bytes") as broken:
            await faulty.send(b"0123456789")
        assert broken.value.bytes_sent == 6

    with_pair(faults, test)


def test_an_error_that_is_no_end_comes_as_it_is_and_the_stream_goes_on() -> None:
    faults = Faults()
    faults.receiving.fail(errno.ENOBUFS)

    async def test(faulty: Stream, plain: Stream) -> None:
        await plain.send(b"hello")
        with pytest.raises(OSError) as short:
            await faulty.receive()
        assert short.value.errno == errno.ENOBUFS
        assert await faulty.receive() == b"hello"

    with_pair(faults, test)


def test_descriptors_travel_with_the_first_byte_of_a_short_write() -> None:
    faults = Faults()
    faults.sending.limit(1)

    async def test(faulty: Stream, plain: Stream) -> None:
        await faulty.send_fds(b"abc", [plain])
        with await plain.receive_fds() as received:
            assert os.path.sameopenfile(received.fds[0].fileno(), plain.fileno())
            assert received.data + await plain.receive_exactly(3 - len(received.data)) == b"abc"

    with_pair(faults, test, accept_fds=1)


def test_descriptors_are_sent_once_however_often_there_is_no_room() -> None:
    faults = Faults()
    faults.sending.fail(errno.EAGAIN, 20)

    async def test(faulty: Stream, plain: Stream) -> None:
        await faulty.send_fds(b"x", [plain])
        with await plain.receive_fds(max_fds=10) as received:
            assert len(received.fds) == 1

    with_pair(faults, test, accept_fds=10)


@pytest.mark.parametrize("keep", [0, 1])
def test_truncated_control_data_is_an_error_that_leaks_nothing_and_keeps_the_bytes(keep: int) -> None:
    faults = Faults()
    faults.receiving.truncate_control(keep=keep)

    async def test(faulty: Stream, plain: Stream) -> None:
        before = len(os.listdir("/proc/self/fd"))
        await plain.send_fds(b"bytes", [plain, plain, plain])
        with pytest.raises(TruncatedError, match="MSG_CTRUNC"):
            await faulty.receive_fds()
        assert len(os.listdir("/proc/self/fd")) == before
        assert await faulty.receive() == b"bytes"
        await plain.send_fds(b"more", [plain, plain, plain])
        with await faulty.receive_fds() as received:  # only the first was to be truncated
            assert len(received.fds) == 3

    with_pair(faults, test, accept_fds=3)


def test_short_receives_keep_descriptors_with_their_first_byte() -> None:
    faults = Faults()
    faults.receiving.limit(1)

    async def test(faulty: Stream, plain: Stream) -> None:
        await plain.send_fds(b"ab", [plain])
        counts = []
        for _ in range(2):
            with await faulty.receive_fds() as received:
                counts.append((received.data, len(received.fds)))
        assert counts == [(b"a", 1), (b"b", 0)]

    with_pair(faults, test, accept_fds=1)


def test_a_buffer_is_filled_as_far_as_a_short_receive_goes() -> None:
    faults = Faults()
    faults.receiving.limit(2)

    async def test(faulty: Stream, plain: Stream) -> None:
        await plain.send(b"abcd")
        buffer = bytearray(4)
        assert await faulty.receive_into(buffer) == 2
        assert buffer == b"ab\0\0"

    with_pair(faults, test)


def test_an_observer_is_told_what_really_went() -> None:
    faults, recorder = Faults(), Recorder()
    faults.sending.limit(2)
    faults.receiving.limit(3)

    async def test(faulty: Stream, plain: Stream) -> None:
        await faulty.send(b"abcde")
        await plain.send(b"vwxyz")
        await faulty.receive_exactly(5)

    with_pair(faults, test, observer=recorder)
    assert [event.count for event in recorder.of(BytesWritten)] == [2, 2, 1]
    assert [event.count for event in recorder.of(BytesRead)] == [3, 2]


# Other ends


def test_a_blocking_stream_goes_through_the_same_storm() -> None:
    faults = Faults()
    faults.sending.limit(1)
    faults.sending.fail(errno.EAGAIN, 50)
    faults.receiving.fail(errno.EAGAIN, 50)
    one, other = blocking_pair(faults=faults)
    with one, other:
        one.send(b"hello")
        other.send(b"world")
        assert (other.receive_exactly(5), one.receive()) == (b"hello", b"world")


def with_packets(faults: Faults, test: Callable[[PacketStream, PacketStream], Awaitable[None]]) -> None:
    async def main() -> None:
        one, other = packet_pair(faults=faults)
        async with one, other, asyncio.timeout(5):
            await test(one, other)

    asyncio.run(main(), debug=True)


def test_packets_are_never_cut() -> None:
    faults = Faults()
    faults.sending.limit(1)
    faults.receiving.limit(1)

    async def test(faulty: PacketStream, plain: PacketStream) -> None:
        await faulty.send(b"whole")
        await plain.send(b"packet")
        assert (await plain.receive(), await faulty.receive()) == (b"whole", b"packet")

    with_packets(faults, test)


def test_looking_at_a_packet_before_it_is_received_is_not_counted() -> None:
    faults = Faults()
    faults.receiving.fail(errno.ENOBUFS, after=1)

    async def test(faulty: PacketStream, plain: PacketStream) -> None:
        await plain.send(b"one")
        await plain.send(b"two")
        assert await faulty.receive() == b"one"
        with pytest.raises(OSError, match="as planned"):
            await faulty.receive()
        assert await faulty.receive() == b"two"

    with_packets(faults, test)


def test_a_packet_whose_descriptors_did_not_all_fit_stays_with_all_of_them() -> None:
    faults = Faults()
    faults.receiving.truncate_control(keep=1)

    async def main() -> None:
        faulty, plain = packet_pair(faults=faults, accept_fds=3)
        async with faulty, plain:
            await plain.send_fds(b"packet", [plain, plain, plain])
            with pytest.raises(TruncatedError, match="MSG_CTRUNC"):
                await faulty.receive_fds()
            with await faulty.receive_fds() as received:
                assert (received.data, len(received.fds)) == (b"packet", 3)

    asyncio.run(main(), debug=True)


def test_packets_come_through_a_storm_once_each() -> None:
    faults = Faults()
    faults.sending.fail(errno.EAGAIN, 50)
    faults.receiving.fail(errno.EAGAIN, 50)

    async def test(faulty: PacketStream, plain: PacketStream) -> None:
        await faulty.send(b"one")
        await plain.send(b"")
        await plain.send(b"two")
        assert [await plain.receive(), await faulty.receive(), await faulty.receive()] == [
            b"one",
            b"",
            b"two",
        ]

    with_packets(faults, test)
