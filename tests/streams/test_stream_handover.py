"""A stream that moves on to another loop, thread or process, and files that go through one."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import tempfile
import threading
import warnings

import pytest
from tests.streams.event_loops import turns
from tests.streams.one_end import (
    OPERATIONS,
    drain,
    drained,
    open_stream,
    small,
    with_one_end,
)

import afunix
from afunix.model.errors import (
    BrokenStreamError,
    BusyError,
    ClosedError,
    EndOfStream,
)
from afunix.model.stream_state import State, Stats
from afunix.streams.stream import Stream

# Detach


def test_a_detached_socket_goes_with_its_unread_bytes_and_its_flags() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"abcdef")
        assert await stream.receive(4) == b"abcd"
        stream.unread(b"cd")
        sock, unread = stream.detach()
        with sock:
            assert (unread, sock.recv(10)) == (b"cd", b"ef")
            assert os.get_blocking(sock.fileno())
        assert stream.state is State.DETACHED
        assert stream.stats == Stats(4, 0, 0, 0)
        for use in (stream.receive(), stream.send(b"x"), stream.receive_until(b"x")):
            with pytest.raises(ClosedError, match="was detached"):
                await use
        assert stream.peer.pid == os.getpid()


@pytest.mark.parametrize("default_timeout", [None, 3.0])
def test_sockets_of_ours_are_detached_as_new_ones_wherever_they_came_from(
    sock_dir: str, default_timeout: float | None
) -> None:
    async def main() -> None:
        path = f"{sock_dir}/s"
        with afunix.listen(path) as listener:
            client = await afunix.connect(path)
            for stream in (client, await listener.accept(), *afunix.pair()):
                sock, _ = stream.detach()
                with sock:
                    assert (os.get_blocking(sock.fileno()), sock.gettimeout()) == (True, None)

    socket.setdefaulttimeout(default_timeout)
    try:
        asyncio.run(main())
    finally:
        socket.setdefaulttimeout(None)


@pytest.mark.parametrize("is_blocking", [False, True])
def test_a_given_socket_is_detached_with_its_flag(is_blocking: bool) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        near.setblocking(is_blocking)
        with far:
            sock, _ = afunix.attach(near).detach()
            with sock:
                assert os.get_blocking(sock.fileno()) is is_blocking

    asyncio.run(main())


def test_an_accepted_stream_sends_the_pages_of_a_file(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    sendfile = os.sendfile

    def counted(out: int, source: int, offset: int, count: int) -> int:
        calls.append(count)
        return sendfile(out, source, offset, count)

    monkeypatch.setattr(os, "sendfile", counted)

    async def main() -> None:
        with afunix.listen(f"{sock_dir}/s") as listener, tempfile.TemporaryFile() as file:
            file.write(b"before")
            client = await afunix.connect(f"{sock_dir}/s")
            async with client, await listener.accept() as stream:
                assert await stream.send_file(file, zero_copy=True) == 6
                assert await client.receive() == b"before"
        assert calls

    asyncio.run(main())


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_in_use_is_not_detached(name: str) -> None:
    @with_one_end(accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        small(stream)
        task = asyncio.ensure_future(OPERATIONS[name](stream))
        await turns()
        with pytest.raises(BusyError, match="is using this"):
            stream.detach()
        assert not task.done()
        task.cancel()
        await turns()
        stream.detach()[0].close()


def test_a_stream_moves_to_another_threads_loop() -> None:
    answers: list[bytes] = []

    async def take_up(sock: socket.socket, unread: bytes) -> None:
        async with open_stream(sock) as stream:
            stream.unread(unread)
            answers.append(await stream.receive_exactly(6))
            await stream.send(b"from there")

    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"abcdef")
        await stream.receive(3)
        stream.unread(b"abc")
        given = stream.detach()
        thread = threading.Thread(target=lambda: asyncio.run(take_up(*given)))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert (answers, drain(far)) == ([b"abcdef"], b"from there")


def test_a_stream_moves_to_another_process() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"abcdef")
        await stream.receive(3)
        stream.unread(b"abc")
        sock, unread = stream.detach()
        with warnings.catch_warnings(action="ignore"):  # other tests' threads
            pid = os.fork()
        if pid == 0:
            sock.sendall(unread + sock.recv(3))
            os._exit(0)
        os.waitpid(pid, 0)
        sock.close()
        assert drain(far) == b"abcdef"


# Files


@pytest.mark.parametrize("zero_copy", [False, True])
@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize(("offset", "count"), [(0, None), (10, None), (5, 600_000), (0, 0), (999_999, 10)])
def test_a_file_arrives_whole_or_the_part_that_was_asked_for(
    offset: int, count: int | None, blocking: bool, zero_copy: bool
) -> None:
    content = os.urandom(1_000_000)
    part = content[offset:] if count is None else content[offset : offset + count]

    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        stream._channel.socket.setblocking(blocking)
        with tempfile.TemporaryFile() as file:
            file.write(content)
            task = asyncio.create_task(
                stream.send_file(file, offset=offset, count=count, zero_copy=zero_copy)
            )
            assert await drained(far, task) == part
            assert (await task, stream.stats.bytes_sent) == (len(part), len(part))


def test_what_cannot_be_read_there_is_an_error_and_the_stream_goes_on() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        reader, writer = os.pipe()
        with pytest.raises(OSError, match="ESPIPE"):
            await stream.send_file(reader)
        os.close(reader)
        os.close(writer)
        with pytest.raises(ValueError, match="0 or more"):
            await stream.send_file(0, offset=-1)
        await stream.send(b"goes on")
        assert drain(far) == b"goes on"


def test_a_file_that_ends_early_by_an_error_cuts_the_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread

    def broken_disk(fd: int, count: int, offset: int) -> bytes:
        if offset:
            raise OSError(errno.EIO, "Input/output error")
        return pread(fd, count, offset)

    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        monkeypatch.setattr(os, "pread", broken_disk)
        with tempfile.TemporaryFile() as file:
            file.write(bytes(500_000))
            task = asyncio.create_task(stream.send_file(file))
            got = len(await drained(far, task))
        with pytest.raises(OSError, match="Input/output"):
            await task
        with pytest.raises(BrokenStreamError) as caught:
            await stream.send(b"x")
        assert caught.value.bytes_sent == got == 256 * 1024


def test_what_comes_is_written_into_a_file_at_its_position() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(b"before ")
            far.send(b"counted and the rest")
            assert await stream.receive_file(file, 8) == 8
            far.close()
            assert await stream.receive_file(file) == 12
            file.seek(0)
            assert file.read() == b"before counted and the rest"


def test_a_file_that_ends_before_its_count_is_the_end_of_the_stream() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"abc")
        far.close()
        with tempfile.TemporaryFile() as file:
            with pytest.raises(EndOfStream, match="after 3 of 5 bytes"):
                await stream.receive_file(file, 5)
            file.seek(0)
            assert file.read() == b"abc"
        with pytest.raises(ValueError, match="count is -1"):
            await stream.receive_file(1, -1)


def test_what_the_disk_refuses_is_unread() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        far.send(b"abc")
        with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
            await stream.receive_file(full)
        assert await stream.receive() == b"abc"
