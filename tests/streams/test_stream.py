"""One connection in an asyncio task: what each operation does, and how both directions end.

How operations are interrupted is in `test_interruption`, what they have in common with the other faces in
`kernel/test_stream_steps`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.streams.event_loops import LOOPS, run_in, turns
from tests.streams.one_end import (
    OPERATIONS,
    RECEIVES,
    SENDS,
    both_ends,
    drain,
    drained,
    fill,
    small,
    with_one_end,
)

from afunix.kernel.traced_channel import TracedChannel
from afunix.model.address import AddressKind
from afunix.model.errors import (
    BrokenStreamError,
    BusyError,
    ClosedError,
    EndOfStream,
    LineTooLongError,
    TimedOutError,
)
from afunix.model.events import BytesRead, BytesWritten, Closed, Event
from afunix.model.stream_state import State, Stats
from afunix.streams.stream import Stream

# Receiving


@pytest.mark.parametrize("kind", LOOPS)
def test_receive_takes_what_has_come_waits_for_more_and_ends(kind: str) -> None:
    @with_one_end(kind)
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"abcdef")
        assert (await stream.receive(4), await stream.receive()) == (b"abcd", b"ef")
        task = asyncio.create_task(stream.receive())
        await turns()
        far.send(b"late")
        assert await task == b"late"
        far.shutdown(socket.SHUT_WR)
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await stream.receive()
        assert stream.state is State.RECEIVE_ENDED


def test_receive_into_fills_the_front_of_a_buffer() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        buffer = bytearray(b"........")
        far.send(b"abcdef")
        assert await stream.receive_into(memoryview(buffer)[:4]) == 4
        assert await stream.receive_into(buffer) == 2
        assert buffer == b"efcd...."
        buffer.extend(b"it is free again")


def test_receive_into_takes_put_back_bytes_first() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        stream.unread(b"abc")
        buffer = bytearray(2)
        assert (await stream.receive_into(buffer), bytes(buffer)) == (2, b"ab")
        assert await stream.receive() == b"c"


def test_receive_into_what_cannot_be_written_to_takes_nothing() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        stream.unread(b"abc")
        with pytest.raises(TypeError, match="can be written to"):
            await stream.receive_into(memoryview(b"xxx"))
        assert await stream.receive() == b"abc"


def test_receive_exactly_waits_for_all_of_it() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        task = asyncio.create_task(stream.receive_exactly(6))
        for byte in b"abcdefg":
            far.send(bytes([byte]))
            await turns()
        assert await task == b"abcdef"
        assert await stream.receive_exactly(0) == b""
        assert await stream.receive() == b"g"


def test_receive_exactly_leaves_what_came_when_the_stream_ends_before() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"abc")
        far.close()
        with pytest.raises(EndOfStream, match="after 3 of 5 bytes"):
            await stream.receive_exactly(5)
        assert await stream.receive() == b"abc"


def test_receive_until_finds_a_separator_that_comes_in_two_pieces() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        task = asyncio.create_task(stream.receive_until(b"\r\n"))
        for piece in (b"a\r", b"b\r", b"\nrest"):
            far.send(piece)
            await turns()
        assert await task == b"a\rb\r\n"
        assert await stream.receive() == b"rest"


def test_a_piece_that_is_too_long_is_left_unread() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"abcdef\nrest")
        with pytest.raises(LineTooLongError, match="within 6 bytes"):
            await stream.receive_until(b"\n", 6)
        assert await stream.receive_until(b"\n", 7) == b"abcdef\n"
        far.close()
        with pytest.raises(EndOfStream, match="4 bytes are left"):
            await stream.receive_until(b"\n")
        assert await stream.receive() == b"rest"


def test_lines_keep_their_newline_and_the_unfinished_last_one_comes() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"one\n\nthree\r\nlast")
        far.close()
        assert [line async for line in stream.lines()] == [b"one\n", b"\n", b"three\r\n", b"last"]
        assert [line async for line in stream.lines()] == []


def test_lines_can_be_left_and_taken_up_again() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"one\ntwo\nthree\n")
        async for line in stream.lines():
            assert line == b"one\n"
            break
        assert await stream.receive(4) == b"two\n"
        async for line in stream.lines():
            assert line == b"three\n"
            break


def test_a_line_that_is_too_long_is_left_unread() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"ok\n" + b"x" * 10 + b"\n")
        seen = []
        with pytest.raises(LineTooLongError):
            async for line in stream.lines(max_bytes=10):
                seen.append(line)
        assert seen == [b"ok\n"]
        assert await stream.receive() == b"x" * 10 + b"\n"


def test_iterating_gives_chunks_up_to_the_end() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"all of it")
        far.close()
        assert [chunk async for chunk in stream] == [b"all of it"]


def test_unread_bytes_come_first_in_every_form() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"ef\n")
        assert await stream.receive(1) == b"e"
        stream.unread(b"e")
        stream.unread(bytearray(b"cd"))  # type: ignore[arg-type]
        stream.unread(b"")
        assert await stream.receive_exactly(3) == b"cde"
        stream.unread(b"x")
        assert await stream.receive_until(b"\n") == b"xf\n"


def test_unread_while_somebody_receives_is_refused() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        for receiving in (stream.receive(), stream.receive_exactly(3)):
            task = asyncio.create_task(receiving)
            await turns()
            with pytest.raises(BusyError):
                stream.unread(b"x")
            far.send(b"abc")
            assert await task == b"abc"


def test_what_came_before_a_reset_is_received_before_it() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        await stream.send(b"nobody reads this")
        far.send(b"final")
        far.close()
        assert await stream.receive() == b"final"
        for _ in range(2):
            with pytest.raises(BrokenStreamError, match="ECONNRESET") as caught:
                await stream.receive()
            assert caught.value.errno == errno.ECONNRESET
        assert stream.state is State.BROKEN


def test_a_reset_in_the_middle_leaves_what_came_before_it() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        await stream.send(b"nobody reads this")
        far.send(b"final")
        far.close()
        with pytest.raises(BrokenStreamError):
            await stream.receive_exactly(10)
        with pytest.raises(BrokenStreamError):
            await stream.receive_until(b"\n")
        assert await stream.receive() == b"final"


# Sending


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes"), b""])
def test_send_takes_whatever_has_bytes(data: Any) -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        await stream.send(data)
        assert drain(far) == bytes(data)


@pytest.mark.parametrize("kind", LOOPS)
def test_a_long_send_waits_for_room_and_arrives_whole(kind: str) -> None:
    @with_one_end(kind)
    async def _(stream: Stream, far: socket.socket) -> None:
        small(stream)
        message = os.urandom(300_000)
        for data in (message, bytearray(message)):
            task = asyncio.create_task(stream.send(data))
            assert await drained(far, task) == message
            await task


def test_send_many_is_one_message_if_there_is_room() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        await stream.send_many([b"one ", bytearray(b"two "), b"", memoryview(b"three")])
        assert far.recv(100) == b"one two three"
        await stream.send_many([])


def test_send_many_takes_more_buffers_than_one_call_does() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        small(stream)
        task = asyncio.create_task(stream.send_many([b"%d," % number for number in range(3000)]))
        assert await drained(far, task) == b"".join(b"%d," % number for number in range(3000))


def test_a_reader_that_stalls_holds_the_sender_and_not_its_memory() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        task = asyncio.create_task(stream.send(bytes(5_000_000)))
        await turns(10)
        assert not task.done()
        assert stream.stats.bytes_sent < 1_000_000
        assert len(await drained(far, task)) == 5_000_000


def test_a_send_without_progress_times_out_and_is_a_no_op() -> None:
    @with_one_end(send_timeout=0.001)
    async def _(stream: Stream, far: socket.socket) -> None:
        filled = fill(stream)
        for sending in (stream.send(b"x"), stream.send_many([b"x"]), stream.send_fds(b"x", [0])):
            with pytest.raises(TimedOutError, match="made no room for") as caught:
                await sending
            assert caught.value.bytes_sent == 0
        assert stream.state is State.OPEN
        assert len(drain(far)) == filled
        await stream.send(b"goes on")
        assert drain(far) == b"goes on"


@pytest.mark.parametrize("zero_copy", [False, True])
def test_a_send_of_a_file_without_progress_times_out_too(zero_copy: bool) -> None:
    @with_one_end(send_timeout=0.001)
    async def _(stream: Stream, far: socket.socket) -> None:
        stream._channel.socket.setblocking(False)
        with tempfile.TemporaryFile() as file:
            file.write(bytes(2_000_000))
            with pytest.raises(TimedOutError) as caught:
                await stream.send_file(file, zero_copy=zero_copy)
        gone = caught.value.bytes_sent
        assert gone == stream.stats.bytes_sent > 0
        with pytest.raises(BrokenStreamError) as broken:
            await stream.send(b"after half a file")
        assert broken.value.bytes_sent == gone
        assert len(drain(far)) == gone


def test_a_send_that_times_out_in_its_middle_cuts_the_sending() -> None:
    @with_one_end(send_timeout=0.001)
    async def _(stream: Stream, far: socket.socket) -> None:
        small(stream)
        with pytest.raises(TimedOutError) as caught:
            await stream.send(bytes(100_000))
        assert 0 < caught.value.bytes_sent < 100_000
        assert stream.state is State.BROKEN
        with pytest.raises(BrokenStreamError, match="broken off") as broken:
            await stream.send_many([b"x"])
        assert broken.value.bytes_sent == caught.value.bytes_sent
        far.send(b"receiving goes on")
        assert await stream.receive() == b"receiving goes on"


def test_progress_is_what_counts_not_time() -> None:
    @with_one_end(send_timeout=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        small(stream)
        task = asyncio.create_task(stream.send(bytes(60_000)))
        started, got = time.monotonic(), 0
        while not task.done():
            await asyncio.sleep(0.05)
            got += len(far.recv(2000)) if not task.done() else 0
        await task
        assert time.monotonic() - started > 1


def test_a_peer_that_reads_makes_progress_before_there_is_room() -> None:
    @with_one_end(send_timeout=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        task = asyncio.create_task(stream.send(bytes(300_000)))
        started = time.monotonic()
        while not task.done():
            await asyncio.sleep(0.3)
            with suppress(BlockingIOError):
                far.recv(1 << 15)
        await task
        assert time.monotonic() - started > 1


def test_a_peer_that_receives_no_more_is_a_broken_stream() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.shutdown(socket.SHUT_RD)
        for sending in (stream.send(b"x"), stream.send_many([b"x"]), stream.send_fds(b"x", [0])):
            with pytest.raises(BrokenStreamError, match="EPIPE") as caught:
                await sending
            assert (caught.value.bytes_sent, caught.value.errno) == (0, errno.EPIPE)
            assert stream.state is State.SEND_ENDED
        far.send(b"still")
        assert await stream.receive() == b"still"


def test_a_buffer_can_be_changed_again_when_its_send_has_failed() -> None:
    @with_one_end(send_timeout=0.001)
    async def _(stream: Stream, far: socket.socket) -> None:
        small(stream)
        data = bytearray(100_000)
        try:
            await stream.send(data)
        except TimedOutError:
            data.clear()
        try:
            await stream.send(data)
        except BrokenStreamError:
            data.extend(b"x")


# Both directions, and their ends


def test_a_half_close_is_told_and_the_other_half_lives() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        await stream.send(b"last words")
        await stream.send_eof()
        await stream.send_eof()
        assert (far.recv(100), far.recv(100)) == (b"last words", b"")
        assert stream.state.name == "SEND_ENDED"
        with pytest.raises(ClosedError, match="send_eof"):
            await stream.send(b"more")
        far.send(b"answer")
        far.close()
        assert await stream.receive() == b"answer"
        with pytest.raises(EndOfStream):
            await stream.receive()
        assert stream.state is State.ENDED


def test_after_the_peers_half_close_we_can_still_send() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.shutdown(socket.SHUT_WR)
        with pytest.raises(EndOfStream):
            await stream.receive()
        await stream.send(b"answer")
        assert drain(far) == b"answer"


def test_sending_and_receiving_go_on_at_once() -> None:
    async def main() -> None:
        async with both_ends() as (near, far):
            small(near)
            small(far)
            message = os.urandom(200_000)
            sends = [asyncio.create_task(end.send(message)) for end in (near, far)]
            received = await asyncio.gather(near.receive_exactly(200_000), far.receive_exactly(200_000))
            await asyncio.gather(*sends)
            assert list(received) == [message, message]

    run_in("asyncio", main())


@pytest.mark.parametrize("kind", LOOPS)
def test_the_hangup_is_the_peers_close_and_takes_no_byte(kind: str) -> None:
    @with_one_end(kind)
    async def _(stream: Stream, far: socket.socket) -> None:
        waiting = asyncio.create_task(stream.wait_hangup())
        await turns()
        far.send(b"unread")
        far.shutdown(socket.SHUT_WR)
        await turns(5)
        assert not waiting.done()
        far.close()
        await waiting
        await stream.wait_hangup()
        assert await stream.receive() == b"unread"


def test_two_half_closes_are_a_hangup() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        waiting = asyncio.create_task(stream.wait_hangup())
        await turns()
        far.shutdown(socket.SHUT_WR)
        await turns()
        await stream.send_eof()
        await waiting


def test_the_hangup_can_be_waited_for_beside_a_receive_and_a_send() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        small(stream)
        waiting = asyncio.create_task(stream.wait_hangup())
        receiving = asyncio.create_task(stream.receive())
        sending = asyncio.create_task(stream.send(bytes(100_000)))
        await turns()
        far.close()
        await waiting
        with pytest.raises(BrokenStreamError):
            await receiving
        with pytest.raises(BrokenStreamError):
            await sending


@pytest.mark.parametrize("queued", [b"", b"unread"])
def test_waiting_for_the_hangup_does_not_spin(queued: bytes) -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await stream.receive()  # so that interest in bytes is registered
        waiting = asyncio.create_task(stream.wait_hangup())
        await turns()
        far.send(queued)
        far.shutdown(socket.SHUT_WR)
        await turns()
        assert stream._hub is not None
        assert not stream._hub._epoll.poll(0)
        far.close()
        await waiting


def test_two_cannot_wait_for_one_hangup() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        first = asyncio.create_task(stream.wait_hangup())
        await turns()
        with pytest.raises(BusyError):
            await stream.wait_hangup()
        far.close()
        await first


@pytest.mark.parametrize("second", RECEIVES)
@pytest.mark.parametrize("first", RECEIVES)
def test_the_second_who_receives_is_told_so_and_the_first_is_unharmed(first: str, second: str) -> None:
    @with_one_end(accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        task = asyncio.ensure_future(OPERATIONS[first](stream))
        await turns()
        with pytest.raises(BusyError, match="another task is receiving"):
            await OPERATIONS[second](stream)
        assert not task.done()
        task.cancel()
        await turns()
        far.send(b"abcd\n")
        assert await stream.receive() == b"abcd\n"


@pytest.mark.parametrize("second", [*SENDS, "send_eof"])
@pytest.mark.parametrize("first", SENDS)
def test_the_second_who_sends_is_told_so_and_the_first_is_unharmed(first: str, second: str) -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        small(stream)
        task = asyncio.ensure_future(OPERATIONS[first](stream))
        await turns()
        with pytest.raises(BusyError, match="another task is sending"):
            await (stream.send_eof() if second == "send_eof" else OPERATIONS[second](stream))
        assert await drained(far, task) == bytes(100_000)
        await task


def test_a_receive_after_one_that_was_cancelled_and_not_told_so_yet_is_told_busy() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        first = asyncio.create_task(stream.receive())
        await turns()
        first.cancel()
        far.send(b"mine")
        with pytest.raises(BusyError):
            await stream.receive()
        await turns()
        assert first.cancelled()
        assert await stream.receive() == b"mine"


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_whoever_waits_is_told_of_the_close(name: str, end: str) -> None:
    @with_one_end(accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        small(stream)
        task = asyncio.ensure_future(OPERATIONS[name](stream))
        await turns()
        getattr(stream, end)()
        await turns()
        assert task.done()
        with pytest.raises(ClosedError):
            await task


@pytest.mark.parametrize("name", OPERATIONS)
def test_after_the_close_every_operation_says_so(name: str) -> None:
    @with_one_end(accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        stream.unread(b"a line\n")
        stream.close()
        with pytest.raises(ClosedError, match="is closed"):
            await OPERATIONS[name](stream)


def test_what_can_be_asked_after_the_close_and_what_cannot() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        await stream.send(b"abc")
        far.send(b"de")
        assert await stream.receive(1) == b"d"
        assert stream.stats == Stats(1, 3, 1, 0)
        stream.close()
        stream.close()
        stream.abort()
        assert (stream.state, stream.stats) == (State.CLOSED, Stats(1, 3, 0, 0))
        assert stream.peer.pid == os.getpid()
        assert stream.local_address.kind is stream.peer_address.kind is AddressKind.UNNAMED
        assert "closed" in repr(stream)
        asks: list[Callable[[], object]] = [stream.fileno, stream.open_pidfd, stream.detach]
        asks += [lambda: stream.peer_groups, lambda: stream.peer_label, lambda: stream.unread(b"x")]
        for ask in asks:
            with pytest.raises(ClosedError):
                ask()
        await stream.aclose()


def test_an_abort_ends_the_connection_for_whoever_else_holds_the_socket() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        with socket.socket(fileno=os.dup(stream.fileno())) as other:
            stream.abort()
            assert (far.recv(1), other.recv(1)) == (b"", b"")


# Observed


def test_an_observer_is_told_what_goes_through_and_of_the_close() -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        events: list[Event] = []
        fd = near.fileno()
        stream = Stream(
            TracedChannel(near, observer=events.append),
            loop=asyncio.get_running_loop(),
            observer=events.append,
            accept_fds=1,
        )
        with far, tempfile.TemporaryFile() as file:
            file.write(b"abcdef")
            await stream.send(b"1")
            await stream.send_many([b"22", b"2"])
            await stream.send_fds(b"4444", [0])
            await stream.send_file(file, zero_copy=True)
            far.send(b"xyz")
            await stream.receive(1)
            await stream.receive_into(bytearray(1))
            (await stream.receive_fds()).close()
            stream.close()
        written = [event.count for event in events if isinstance(event, BytesWritten)]
        read = [event.count for event in events if isinstance(event, BytesRead)]
        assert (written, read) == ([1, 3, 4, 6], [1, 1, 1])
        assert events[-1] == Closed(fd, 0, 3, 14)

    run_in("asyncio", main())
