"""Descriptors through a stream, with their bytes, owned and never leaked; and who is at its other end."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import tempfile
import warnings

import pytest
from tests.streams.event_loops import LOOPS, run_in
from tests.streams.one_end import (
    OPERATIONS,
    RECEIVES,
    both_ends,
    drain,
    open_descriptors,
    open_stream,
    small,
    with_one_end,
)

from afunix.kernel import peercred
from afunix.kernel.channel import Channel
from afunix.kernel.discarding_channel import DiscardingChannel
from afunix.model.errors import (
    AfunixError,
    ClosedError,
    DescriptorsNotAcceptedError,
    TruncatedError,
)
from afunix.streams.stream import Stream

# Descriptors


@pytest.mark.parametrize("count", [1, 5, 253])
@pytest.mark.parametrize("kind", LOOPS)
def test_descriptors_arrive_with_their_bytes_and_are_owned(kind: str, count: int) -> None:
    async def main() -> None:
        async with both_ends(accept_fds=253) as (near, far):
            with tempfile.TemporaryFile() as file:
                await near.send_fds(b"take", [file] * count)
                with await far.receive_fds() as received:
                    assert (received.data, len(received.fds)) == (b"take", count)
                    for fd in received:
                        assert not os.get_inheritable(fd.fileno())
                        assert os.path.sameopenfile(fd.fileno(), file.fileno())
            assert all(fd.is_closed for fd in received)

    run_in(kind, main())


def test_what_cannot_go_is_refused_before_anything_is_sent() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        closed = os.dup(0)
        os.close(closed)
        for data, fds, error in (
            (b"x", [0] * 254, ValueError),
            (b"", [0], ValueError),
            (b"x", [-1], ValueError),
            (b"x", [2**31], ValueError),
            (b"x", ["0"], TypeError),
            ("x", [0], TypeError),
            (b"x", [closed], OSError),
        ):
            with pytest.raises(error):
                await stream.send_fds(data, fds)  # type: ignore[arg-type]
        await stream.send(b"goes on")
        assert drain(far) == b"goes on"


def test_descriptors_stay_in_order_with_the_bytes() -> None:
    async def main() -> None:
        async with both_ends(accept_fds=4) as (near, far):
            await near.send(b"before")
            await near.send_fds(b"first", [0])
            await near.send(b"between")
            await near.send_fds(b"second", [0, 1])
            got: list[tuple[bytes, int]] = []
            while len(got) < 2 or got[-1][1] != 2:
                with await far.receive_fds() as received:
                    got.append((received.data, len(received.fds)))
            assert b"".join(data for data, _ in got) == b"beforefirstbetweensecond"
            assert [count for _, count in got if count] == [1, 2]
            assert b"".join(data for data, _ in got[:1]) in (b"before", b"beforefirst")

    run_in("asyncio", main())


def test_descriptors_of_a_long_message_come_once() -> None:
    async def main() -> None:
        async with both_ends(accept_fds=4) as (near, far):
            small(near)
            task = asyncio.create_task(near.send_fds(bytes(100_000), [0, 1]))
            counts, size = [], 0
            while size < 100_000:
                with await far.receive_fds() as received:
                    counts.append(len(received.fds))
                    size += len(received.data)
            await task
            assert [count for count in counts if count] == [2]
            assert counts[0] == 2

    run_in("asyncio", main())


@pytest.mark.parametrize("max_fds", [1, 2, 3, 40])
def test_descriptors_that_are_too_many_are_closed_and_the_bytes_stay(max_fds: int) -> None:
    @with_one_end(accept_fds=253)
    async def _(stream: Stream, far: socket.socket) -> None:
        before = open_descriptors()
        socket.send_fds(far, [b"many"], [0] * (max_fds + 30))
        with pytest.raises(TruncatedError, match=f"asked for \\({max_fds},"):
            await stream.receive_fds(max_fds=max_fds)
        assert open_descriptors() == before
        assert stream.stats.descriptors_closed > 0
        with await stream.receive_fds() as received:
            assert (received.data, received.fds) == (b"many", ())


def test_what_was_received_can_be_sent_on_and_so_can_any_descriptor() -> None:
    async def main() -> None:
        async with both_ends(accept_fds=4) as (near, far):
            with socket.socket(socket.AF_UNIX) as listener, tempfile.TemporaryFile() as file:
                listener.bind("")
                listener.listen()
                await near.send_fds(b"x", [listener, 0, file])
                with await far.receive_fds() as first:
                    await far.send_fds(b"back", first.fds)
                    with await near.receive_fds() as second:
                        taken = second.fds[0].socket()
            with taken, socket.socket(socket.AF_UNIX) as client:
                client.connect(taken.getsockname())
                taken.accept()[0].close()
            with pytest.raises(ClosedError):
                await near.send_fds(b"x", [second.fds[1]])

    run_in("asyncio", main())


def test_a_stream_without_accept_fds_says_so() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        with pytest.raises(AfunixError, match="accept_fds") as caught:
            await stream.receive_fds()
        assert caught.value.hint


@pytest.mark.parametrize("max_fds", [0, -1, 254])
def test_a_number_of_descriptors_that_cannot_be_is_refused(max_fds: int) -> None:
    @with_one_end(accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        with pytest.raises(ValueError, match="expected 1 to 253"):
            await stream.receive_fds(max_fds=max_fds)


@pytest.mark.parametrize("make", [Channel, DiscardingChannel])
@pytest.mark.parametrize("name", [name for name in RECEIVES if name != "receive_fds"])
def test_a_stream_that_did_not_ask_for_descriptors_never_holds_any(name: str, make: type[Channel]) -> None:
    async def main() -> None:
        near, far = socket.socketpair()  # SO_PASSRIGHTS is on, as before Linux 6.16
        stream = Stream(make(near), loop=asyncio.get_running_loop())
        async with stream:
            with far, tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as sink:
                before = open_descriptors()
                for _ in range(3):
                    socket.send_fds(far, [b"abcd\n"], [file.fileno()] * 10)
                    if name == "receive_file":
                        await stream.receive_file(sink, 5)
                    else:
                        await OPERATIONS[name](stream)
                    assert open_descriptors() == before
            if make is DiscardingChannel:
                assert stream.stats.descriptors_closed == 3

    run_in("asyncio", main())


def test_a_peer_that_refuses_descriptors_says_so_to_the_sender() -> None:
    @with_one_end()
    async def _(stream: Stream, far: socket.socket) -> None:
        if not peercred.refuse_descriptors(far):
            pytest.skip("SO_PASSRIGHTS needs Linux 6.16")
        with pytest.raises(DescriptorsNotAcceptedError, match="EPERM"):
            await stream.send_fds(b"x", [0])
        await stream.send(b"goes on")
        assert drain(far) == b"goes on"


def test_a_received_descriptor_that_is_forgotten_warns_and_is_closed() -> None:
    @with_one_end(accept_fds=1)
    async def _(stream: Stream, far: socket.socket) -> None:
        socket.send_fds(far, [b"x"], [0])
        received = await stream.receive_fds()
        number = received.fds[0].fileno()
        with pytest.warns(ResourceWarning, match=f"unclosed received descriptor {number}"):
            del received
            gc.collect()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(number)


# Who is there


def test_the_peer_is_the_process_that_connected_also_when_it_has_ended(sock_dir: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{sock_dir}/s")
            listener.listen()
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(writer)
                client = socket.socket(socket.AF_UNIX)
                client.connect(f"{sock_dir}/s")
                os.read(reader, 1)
                os._exit(0)
            async with open_stream(listener.accept()[0]) as stream:
                assert (stream.peer.pid, stream.peer.uid) == (pid, os.getuid())
                assert sorted(stream.peer_groups) == sorted(os.getgroups())
                assert stream.peer_label is None or stream.peer_label
                assert stream.local_address.name == f"{sock_dir}/s".encode()
                await end_of(stream, pid, (reader, writer))
                assert stream.peer.pid == pid

    with warnings.catch_warnings(action="ignore"):  # fork beside other tests' threads
        run_in("asyncio", main())


async def end_of(stream: Stream, pid: int, pipe: tuple[int, int]) -> None:
    pidfd = stream.open_pidfd()
    assert not os.get_inheritable(pidfd)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, ended.set)
    for end in pipe:
        os.close(end)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)
    os.waitpid(pid, 0)
