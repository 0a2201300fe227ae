"""An anyio stream keeps what anyio documents of its own, and loses, doubles and leaks nothing beyond that."""

from __future__ import annotations

import array
import gc
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute, UNIXSocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

import afunix
from afunix.adapters.anyio import Stream, attach, connect, pair

pytestmark = pytest.mark.anyio


async def connected(accept_fds: int = 0) -> tuple[Stream, socket.socket]:
    one, other = socket.socketpair()
    other.setblocking(False)
    return attach(one, accept_fds=accept_fds), other


def fill(sock: socket.socket) -> int:
    """Send until there is no room; how many bytes went."""
    count = 0
    while True:
        try:
            count += sock.send(b"x" * 65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return count


def drain(sock: socket.socket) -> bytes:
    """What is there."""
    parts: list[bytes] = []
    while True:
        try:
            part = sock.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b"".join(parts)
        if not part:
            return b"".join(parts)
        parts.append(part)


# What anyio documents


async def test_it_is_what_anyio_calls_a_unix_socket_stream() -> None:
    stream, peer = await connected()
    async with stream:
        assert isinstance(stream, UNIXSocketStream | ByteStream)
    peer.close()


async def test_the_extra_attributes_are_those_of_a_unix_socket(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        async with attach(client) as stream:
            assert stream.extra(SocketAttribute.family) == socket.AF_UNIX
            assert stream.extra(SocketAttribute.local_address) == ""
            assert stream.extra(SocketAttribute.remote_address) == path
            assert isinstance(stream.extra(SocketAttribute.raw_socket), socket.socket)
            assert stream.extra(SocketAttribute.remote_port, None) is None


async def test_what_one_sends_the_other_receives() -> None:
    one, other = pair()
    async with one, other:
        await one.send(b"halloj")
        assert await other.receive() == b"halloj"


async def test_no_more_is_received_than_was_asked_for() -> None:
    stream, peer = await connected()
    async with stream:
        peer.send(b"halloj")
        assert [await stream.receive(4), await stream.receive(4)] == [b"hall", b"oj"]
    peer.close()


async def test_a_send_waits_until_everything_has_gone() -> None:
    one, other = pair()
    data = os.urandom(4_000_000)
    received = bytearray()

    async def receive_all() -> None:
        async for chunk in other:
            received.extend(chunk)

    async with one, other, anyio.create_task_group() as group:
        group.start_soon(receive_all)
        await one.send(data)
        await one.send_eof()
    assert received == data


async def test_an_iteration_ends_where_the_stream_does() -> None:
    stream, peer = await connected()
    async with stream:
        peer.send(b"one")
        peer.close()
        assert [chunk async for chunk in stream] == [b"one"]


async def test_the_end_is_told_every_time() -> None:
    stream, peer = await connected()
    async with stream:
        peer.close()
        for _ in range(2):
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()


async def test_after_a_half_close_the_answer_can_still_be_received() -> None:
    stream, peer = await connected()
    async with stream:
        await stream.send(b"question")
        await stream.send_eof()
        await stream.send_eof()
        assert drain(peer) == b"question"
        peer.send(b"answer")
        assert await stream.receive() == b"answer"
        with pytest.raises(anyio.ClosedResourceError, match="sends no more"):
            await stream.send(b"more")
    peer.close()


@pytest.mark.parametrize("max_bytes", [0, -1])
async def test_a_receive_of_no_bytes_is_refused(max_bytes: int) -> None:
    stream, peer = await connected()
    async with stream:
        with pytest.raises(ValueError, match="max_bytes"):
            await stream.receive(max_bytes)
    peer.close()


async def test_a_peer_that_is_gone_breaks_a_send_and_says_why() -> None:
    stream, peer = await connected()
    async with stream:
        peer.close()
        with pytest.raises(anyio.BrokenResourceError, match="EPIPE") as raised:
            await stream.send(b"x")
        assert isinstance(raised.value.__cause__, afunix.BrokenStreamError)


async def test_a_peer_that_left_without_reading_is_told_after_its_bytes() -> None:
    stream, peer = await connected()
    async with stream:
        peer.send(b"last words")
        await stream.send(b"unread")
        peer.close()
        assert await stream.receive() == b"last words"
        with pytest.raises(anyio.BrokenResourceError, match="ECONNRESET"):
            await stream.receive()


async def test_anyios_buffered_stream_reads_from_it() -> None:
    stream, peer = await connected()
    async with BufferedByteReceiveStream(stream) as buffered:
        peer.send(b"a,bcd")
        assert await buffered.receive_until(b",", 10) == b"a"
        assert await buffered.receive_exactly(3) == b"bcd"
    peer.close()


async def test_from_socket_takes_a_socket_as_attach_does() -> None:
    one, other = socket.socketpair()
    async with await Stream.from_socket(one) as stream:
        assert one.fileno() == -1
        other.send(b"x")
        assert await stream.receive() == b"x"
    other.close()


# Descriptors


async def test_descriptors_arrive_close_on_exec_and_are_the_callers() -> None:
    one, other = pair(accept_fds=2)
    async with one, other:
        with tempfile.TemporaryFile() as file:
            file.write(b"hello")
            file.flush()
            await one.send_fds(b"x", [file, file.fileno()])
        data, fds = await other.receive_fds(10, 2)
        assert data == b"x"
        assert [os.pread(fd, 10, 0) for fd in fds] == [b"hello", b"hello"]
        assert not any(os.get_inheritable(fd) for fd in fds)
        for fd in fds:
            os.close(fd)


async def test_more_descriptors_than_asked_for_are_an_error_and_closed() -> None:
    one, other = pair(accept_fds=1)
    async with one, other:
        await one.send_fds(b"x", [0] * 20)
        with pytest.raises(afunix.TruncatedError):
            await other.receive_fds(10, 1)
        assert await other.receive() == b"x"


async def test_a_message_with_descriptors_is_sent_whole() -> None:
    stream, peer = await connected()
    fill(stream.extra(SocketAttribute.raw_socket))
    drain(peer)
    message = os.urandom(1_000_000)
    received = bytearray()
    descriptors = array.array("i")

    async def receive_all() -> None:
        while len(received) < len(message):
            await anyio.wait_readable(peer)
            data, control, _, _ = peer.recvmsg(65536, socket.CMSG_SPACE(16))
            received.extend(data)
            for _, _, packed in control:
                descriptors.frombytes(packed)

    async with stream, anyio.create_task_group() as group:
        group.start_soon(receive_all)
        await stream.send_fds(message, [0])
    assert (bytes(received), len(descriptors)) == (message, 1)
    os.close(descriptors[0])
    peer.close()


async def test_nothing_to_send_descriptors_with_is_refused() -> None:
    stream, peer = await connected()
    async with stream:
        with pytest.raises(ValueError, match="data is empty"):
            await stream.send_fds(b"", [0])
        with pytest.raises(ValueError, match="fds is empty"):
            await stream.send_fds(b"x", [])
    peer.close()


@pytest.mark.parametrize(
    ("msglen", "maxfds", "named"), [(0, 1, "msglen"), (1, 0, "maxfds"), (1, -1, "maxfds")]
)
async def test_a_receive_of_no_descriptors_is_refused(msglen: int, maxfds: int, named: str) -> None:
    stream, peer = await connected(accept_fds=1)
    async with stream:
        with pytest.raises(ValueError, match=named):
            await stream.receive_fds(msglen, maxfds)
    peer.close()


async def test_a_stream_that_asked_for_no_descriptors_receives_none() -> None:
    stream, peer = await connected()
    async with stream:
        with pytest.raises(afunix.AfunixError, match="without accept_fds"):
            await stream.receive_fds(1, 1)
    peer.close()


# What a Stream has beyond


async def test_lines_come_with_their_newlines_and_the_unfinished_last_one_too() -> None:
    stream, peer = await connected()
    async with stream:
        peer.send(b"one\ntwo\nthr")
        peer.close()
        assert [line async for line in stream.lines()] == [b"one\n", b"two\n", b"thr"]


async def test_a_line_that_is_too_long_is_ours_to_tell_and_stays_unread() -> None:
    stream, peer = await connected()
    async with stream:
        peer.send(b"0123456789")
        with pytest.raises(afunix.LineTooLongError):
            await stream.receive_until(b"\n", 5)
        assert await stream.receive_exactly(10) == b"0123456789"
    peer.close()


async def test_an_end_that_comes_too_early_leaves_what_came() -> None:
    stream, peer = await connected()
    async with stream:
        peer.send(b"abc")
        peer.close()
        with pytest.raises(anyio.EndOfStream, match="3 of 4"):
            await stream.receive_exactly(4)
        assert await stream.receive() == b"abc"


async def test_many_buffers_arrive_in_their_order() -> None:
    stream, peer = await connected()
    async with stream:
        await stream.send_many([b"a", bytearray(b"b"), memoryview(b"c")])
        assert drain(peer) == b"abc"
    peer.close()


async def test_who_is_there_is_known_after_close_too() -> None:
    stream, peer = await connected()
    await stream.aclose()
    assert stream.peer.uid == os.getuid()
    peer.close()


async def test_a_stream_goes_from_one_face_to_another_with_what_is_unread() -> None:
    stream, peer = await connected()
    peer.send(b"one two")
    stream.unread(await stream.receive(4))
    sock, unread = stream.detach()
    async with attach(sock, unread=unread) as again:
        assert await again.receive_exactly(7) == b"one two"
    peer.close()


async def test_a_refused_socket_stays_its_owners() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(afunix.WrongTypeError):
            attach(datagrams)
        assert datagrams.fileno() >= 0


@pytest.mark.parametrize("is_blocking", [True, False])
async def test_the_blocking_flag_of_a_given_socket_stays(is_blocking: bool) -> None:
    one, other = socket.socketpair()
    one.setblocking(is_blocking)
    async with attach(one) as stream:
        assert os.get_blocking(stream.fileno()) is is_blocking
        other.send(b"x")
        await stream.receive()
        assert os.get_blocking(stream.fileno()) is is_blocking
    other.close()


async def test_a_default_timeout_changes_no_flag_of_a_given_socket() -> None:
    one, other = socket.socketpair()
    socket.setdefaulttimeout(5)
    try:
        stream = attach(one)
    finally:
        socket.setdefaulttimeout(None)
    async with stream:
        assert os.get_blocking(stream.fileno())
    other.close()


# Forgotten


async def _connected(sock_dir: str) -> Stream:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{sock_dir}/s")
        listener.listen()
        return await connect(f"{sock_dir}/s")


async def _attached(sock_dir: str) -> Stream:
    near, far = socket.socketpair()
    far.close()
    return attach(near)


async def _paired(sock_dir: str) -> Stream:
    one, other = pair()
    other.close()
    return one


@pytest.mark.parametrize("make", [_connected, _attached, _paired])
async def test_a_forgotten_stream_warns_where_it_was_opened(
    sock_dir: str, make: Callable[[str], Awaitable[Stream]]
) -> None:
    stream = await make(sock_dir)
    with pytest.warns(ResourceWarning, match=rf"unclosed <afunix.*\.Stream .* opened at {__file__}:"):
        del stream
        gc.collect()


@pytest.mark.parametrize("fds", [3, None, b"12"])
async def test_what_is_no_list_of_descriptors_is_refused(fds: Any) -> None:
    one, other = pair(accept_fds=1)
    async with one, other:
        with pytest.raises(TypeError, match="expected a list of descriptors"):
            await one.send_fds(b"x", fds)
