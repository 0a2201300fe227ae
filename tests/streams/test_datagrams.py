"""DatagramSocket in asyncio tasks, on both loops: who sent it, replies, room, receivers that are gone, and the path."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import socket
import stat
import time
from collections.abc import Callable, Coroutine
from functools import partial
from importlib.util import find_spec
from typing import Any

import pytest
from tests.streams.event_loops import LOOPS, run_in, turns

import afunix
from afunix.kernel.listener import Listener
from afunix.model import events
from afunix.model.address import AddressKind
from afunix.streams.hub import _HUBS

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module", autouse=True)
def libuvs_own_pipe() -> None:
    """With its first loop libuv opens a pipe for the whole process, and keeps it."""
    if find_spec("uvloop") is not None:
        run_in("uvloop", asyncio.sleep(0))


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_in, request.param)


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/d"


async def fill(sender: afunix.DatagramSocket, to: str | None, size: int = 1) -> int:
    """Send until the receiver is full; how many datagrams it holds."""
    count = 0
    while True:
        sending = asyncio.ensure_future(sender.send(bytes(size), to))
        await turns(4)
        if not sending.done():
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
            return count
        await sending
        count += 1


# Names and replies


def test_a_reply_finds_its_sender(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.open_datagrams(path) as server, afunix.open_datagrams() as client:
            await client.send(b"question", to=path)
            asked = await server.receive()
            assert asked.data == b"question"
            assert asked.sender == client.local_address
            assert asked.peer is not None
            assert (asked.peer.pid, asked.peer.uid) == (os.getpid(), os.getuid())
            await server.send(b"", to=asked.sender)
            answer = await client.receive()
            assert (answer.data, str(answer.sender)) == (b"", path)

    run(main())


def test_a_sender_without_a_name_cannot_be_replied_to(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.open_datagrams(path) as server:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
                nameless.sendto(b"x", path)
                sender = (await server.receive()).sender
            assert sender.kind is AddressKind.UNNAMED
            with pytest.raises(afunix.AddressError, match="the sender has no name"):
                await server.send(b"reply", to=sender)

    run(main())


def test_a_name_that_only_its_own_process_understands_is_refused(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.open_datagrams() as sock:
            with pytest.raises(afunix.AddressError, match="only in the process that is bound there"):
                await sock.send(b"", to="/proc/self/fd/9/s")

    run(main())


def test_without_credentials_there_is_no_peer(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.open_datagrams(path, credentials=False) as server:
            await server.send(b"to myself", to=path)
            assert (await server.receive()).peer is None

    run(main())


def test_a_connected_socket_takes_nothing_from_others(run: Run, path: str) -> None:
    async def main() -> None:
        async with (
            afunix.open_datagrams(path) as server,
            afunix.open_datagrams(to=path) as client,
            afunix.open_datagrams() as stranger,
        ):
            with pytest.raises(afunix.DeniedError, match="own peer only"):
                await stranger.send(b"unasked", to=client.local_address)
            await client.send(b"question")
            await server.send(b"answer", to=(await server.receive()).sender)
            assert (await client.receive()).data == b"answer"
            assert str(client.peer_address) == path

    run(main())


def test_without_a_connection_somebody_has_to_be_named(run: Run) -> None:
    async def main() -> None:
        async with afunix.open_datagrams() as sock:
            with pytest.raises(ValueError, match="`to` says where"):
                await sock.send(b"x")

    run(main())


# The path


def test_the_mode_holds_from_the_first_moment_and_the_path_goes_with_the_socket(run: Run, path: str) -> None:
    async def main() -> None:
        modes: list[int] = []

        def look(event: events.Event) -> None:
            if isinstance(event, events.Bound):
                modes.append(stat.S_IMODE(os.stat(path).st_mode))

        before = os.umask(0o077)
        try:
            sock = afunix.open_datagrams(path, mode=0o666, observer=look)
        finally:
            os.umask(before)
        assert modes == [0o666]
        await sock.aclose()
        assert not os.path.lexists(path)

    run(main())


def test_a_live_path_is_refused_a_stale_one_replaced(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.open_datagrams(path):
            with pytest.raises(afunix.AddressInUseError):
                afunix.open_datagrams(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left_behind:
            left_behind.bind(path)
        async with afunix.open_datagrams(path) as sock:
            await sock.send(b"", to=path)

    run(main())


def test_a_kept_path_stays_and_another_ones_is_not_removed(run: Run, path: str) -> None:
    async def main() -> None:
        afunix.open_datagrams(path, keep=True).close()
        assert os.path.exists(path)
        sock = afunix.open_datagrams(path)
        os.unlink(path)
        with open(path, "w"):
            pass
        sock.close()
        assert os.path.isfile(path)

    run(main())


def test_an_inherited_socket_is_used_and_its_path_stays(run: Run, path: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mine:
            mine.bind(path)
            async with afunix.open_datagrams(f"fd:{os.dup(mine.fileno())}") as sock:
                await sock.send(b"1", to=path)
                assert (await sock.receive()).data == b"1"
            listener = Listener.take(afunix.Address.parse(path), mine.dup())
            async with afunix.open_datagrams(listener) as sock:
                await sock.send(b"2", to=path)
                assert (await sock.receive()).data == b"2"
            assert listener.fd == -1
            assert os.path.exists(path)
            assert mine.gettimeout() is None

    run(main())


def test_refused_it_leaves_nothing_and_a_given_listener_open(run: Run, path: str) -> None:
    async def main() -> None:
        with pytest.raises(afunix.NoSuchSocketError):
            afunix.open_datagrams(path, to=f"{path}-nobody")
        assert not os.path.lexists(path)
        listener = Listener.open(afunix.Address.parse(path), "dgram")
        with pytest.raises(afunix.NoSuchSocketError):
            afunix.open_datagrams(listener, to=f"{path}-nobody")
        assert listener.fd >= 0
        assert os.path.exists(path)
        listener.close()

    run(main())


def test_calls_are_told_in_their_order(run: Run, path: str) -> None:
    async def main() -> None:
        told: list[events.Event] = []
        sock = afunix.open_datagrams(path, observer=told.append)
        fd, address = sock.fileno(), sock.local_address
        await sock.send(b"12", to=path)
        await sock.receive()
        sock.close()
        assert told == [
            events.Created(fd, "SOCK_DGRAM"),
            events.Bound(fd, address),
            events.BytesWritten(fd, 2),
            events.BytesRead(fd, 2),
            events.Unlinked(fd, address, True),
            events.Closed(fd, 0, 2, 2),
        ]

    run(main())


# What is received


def test_ten_thousand_datagrams_of_any_size_come_whole_and_in_order(run: Run, path: str) -> None:
    chance = random.Random(65)
    sizes = [0 if chance.random() < 0.1 else int(chance.paretovariate(0.7)) % 20_000 for _ in range(10_000)]

    async def main() -> None:
        async with afunix.open_datagrams(path) as receiver, afunix.open_datagrams() as sender:

            async def send() -> None:
                for number, size in enumerate(sizes):
                    await sender.send(bytes([number % 256]) * size, to=path)

            sending = asyncio.ensure_future(send())
            for number, size in enumerate(sizes):
                assert (await receiver.receive()).data == bytes([number % 256]) * size
            await sending

    run(main())


def test_a_datagram_longer_than_max_bytes_stays(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.open_datagrams(path) as sock:
            await sock.send(b"12345", to=path)
            with pytest.raises(afunix.TruncatedError):
                await sock.receive(4)
            assert (await sock.receive(5)).data == b"12345"

    run(main())


def test_iterating_ends_when_it_is_closed(run: Run, path: str) -> None:
    async def main() -> None:
        sock = afunix.open_datagrams(path)
        for data in (b"1", b"", b"3"):
            await sock.send(data, to=path)
        received = []
        async for datagram in sock:
            received.append(datagram.data)
            if len(received) == 3:
                asyncio.get_running_loop().call_soon(sock.close)
        assert received == [b"1", b"", b"3"]

    run(main())


def test_one_task_receives(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.open_datagrams(path) as sock:
            waiting = asyncio.ensure_future(sock.receive())
            await turns()
            with pytest.raises(afunix.BusyError, match="receiving from this datagram socket"):
                await sock.receive()
            await sock.send(b"1", to=path)
            assert (await waiting).data == b"1"

    run(main())


def test_descriptors_come_with_their_datagram_and_its_sender(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.open_datagrams(path, accept_fds=3) as receiver, afunix.open_datagrams() as sender:
            await sender.send_fds(b"", [sender] * 3, to=path)
            with pytest.raises(afunix.TruncatedError):
                await receiver.receive_fds(max_fds=2)
            with await receiver.receive_fds() as datagram:
                assert (datagram.data, len(datagram.fds), datagram.sender) == (b"", 3, sender.local_address)
                assert datagram.peer is not None
                assert datagram.peer.pid == os.getpid()
            with pytest.raises(ValueError, match="254 descriptors"):
                await sender.send_fds(b"x", [0] * 254, to=path)
            with pytest.raises(afunix.AfunixError, match="without accept_fds"):
                await sender.receive_fds()

    run(main())


# What is sent


def test_a_datagram_that_is_too_long_names_the_limit(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.open_datagrams(path) as sock:
            limit = sock.max_datagram_bytes
            with pytest.raises(
                afunix.MessageTooLongError, match=f"{limit + 1} bytes long, and at most {limit}"
            ):
                await sock.send(bytes(limit + 1), to=path)
            await sock.send(bytes(limit), to=path)
            assert len((await sock.receive()).data) == limit

    run(main())


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_full_receiver_slows_the_sender_and_costs_nothing(run: Run, path: str, is_connected: bool) -> None:
    async def main() -> None:
        async with (
            afunix.open_datagrams(path) as receiver,
            afunix.open_datagrams(to=path if is_connected else None) as sender,
        ):
            to = None if is_connected else path
            queued = await fill(sender, to)
            sending = asyncio.ensure_future(sender.send(b"last", to))
            await turns()
            before = time.process_time()
            await asyncio.sleep(0.2)
            assert time.process_time() - before < 0.05
            assert not sending.done()
            for _ in range(queued):
                assert (await receiver.receive()).data == b"\0"
            await sending
            assert (await receiver.receive()).data == b"last"

    run(main())


def test_a_full_receiver_holds_up_nobody_else(run: Run, path: str) -> None:
    async def main() -> None:
        async with (
            afunix.open_datagrams(path),
            afunix.open_datagrams(f"{path}2") as other,
            afunix.open_datagrams() as sender,
        ):
            await fill(sender, path)
            stuck = [asyncio.ensure_future(sender.send(b"x", to=path)) for _ in range(5)]
            for _ in range(100):
                await sender.send(b"y", to=f"{path}2")
                assert (await other.receive()).data == b"y"
            assert not any(task.done() for task in stuck)
            sender.close()
            for task in stuck:
                with pytest.raises(afunix.ClosedError, match="this datagram socket is closed"):
                    await task

    run(main())


def test_a_send_buffer_that_others_hold_full_is_waited_for(run: Run, path: str) -> None:
    """Two of them hold all of it; when one reads, less than what poll(2) waits for is free."""

    async def main() -> None:
        async with (
            afunix.open_datagrams(path),
            afunix.open_datagrams(f"{path}2") as reader,
            afunix.open_datagrams() as sender,
        ):
            size = sender.max_datagram_bytes // 3
            await sender.send(bytes(size), to=path)
            queued = await fill(sender, f"{path}2", size)
            assert 1 <= queued < 10
            sending = asyncio.ensure_future(sender.send(b"last", to=f"{path}2"))
            await turns()
            for _ in range(queued):
                await reader.receive()
            await sending
            assert (await reader.receive()).data == b"last"

    run(main())


def test_no_room_for_send_timeout_raises_and_nothing_went(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.open_datagrams(path) as receiver, afunix.open_datagrams() as sender:
            queued = await fill(sender, path)
            sender.send_timeout = 0.02
            with pytest.raises(afunix.TimedOutError):
                await sender.send(b"late", to=path)
            for _ in range(queued):
                await receiver.receive()
            await sender.send(b"next", to=path)
            assert (await receiver.receive()).data == b"next"

    run(main())


@pytest.mark.parametrize("is_connected", [True, False])
def test_who_waits_for_room_hears_that_the_receiver_is_gone(run: Run, path: str, is_connected: bool) -> None:
    async def main() -> None:
        receiver = afunix.open_datagrams(path, keep=True)
        async with afunix.open_datagrams(to=path if is_connected else None) as sender:
            to = None if is_connected else path
            await fill(sender, to)
            sending = asyncio.ensure_future(sender.send(b"x", to))
            await turns()
            receiver.close()
            with pytest.raises(afunix.NobodyListensError, match="ECONNREFUSED"):
                await sending

    run(main())


def test_the_receiver_is_gone_and_comes_back(run: Run, path: str) -> None:
    async def main() -> None:
        receiver = afunix.open_datagrams(path, keep=True)
        async with afunix.open_datagrams() as sender, afunix.open_datagrams(to=path) as connected:
            receiver.close()
            for _ in range(3):
                with pytest.raises(ConnectionRefusedError):
                    await sender.send(b"x", to=path)
                with pytest.raises(ConnectionRefusedError):
                    await connected.send(b"x")
            async with afunix.open_datagrams(path) as successor:
                await sender.send(b"1", to=path)
                await connected.send(b"2")
                assert [(await successor.receive()).data for _ in range(2)] == [b"1", b"2"]
            with pytest.raises(FileNotFoundError):
                await sender.send(b"x", to=path)

    run(main())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who is not allowed")
def test_a_path_without_permission_is_denied(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.open_datagrams(path), afunix.open_datagrams() as sender:
            os.chmod(os.path.dirname(path), 0o755)
            os.seteuid(65534)
            try:
                with pytest.raises(afunix.DeniedError, match="needs write permission"):
                    await sender.send(b"x", to=path)
            finally:
                os.seteuid(0)

    run(main())


@pytest.mark.parametrize("turn", range(5))
def test_cancelled_anywhere_a_datagram_went_whole_or_not_at_all(run: Run, path: str, turn: int) -> None:
    async def main() -> None:
        async with afunix.open_datagrams(path) as receiver, afunix.open_datagrams() as sender:
            queued = await fill(sender, path)
            before = len(os.listdir("/proc/self/fd"))
            sending = asyncio.ensure_future(sender.send(b"cancelled", to=path))
            receiving = asyncio.ensure_future(sender.receive())
            await turns(turn)
            sending.cancel()
            receiving.cancel()
            await asyncio.wait([sending, receiving])
            assert sending.cancelled()
            assert len(os.listdir("/proc/self/fd")) == before
            for _ in range(queued):
                await receiver.receive()
            await sender.send(b"after", to=path)
            assert (await receiver.receive()).data == b"after"
        assert asyncio.get_running_loop() not in _HUBS

    run(main())


def test_without_a_descriptor_left_room_is_waited_for_by_the_clock(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(24, "no descriptor is left")

    async def main() -> None:
        async with afunix.open_datagrams(path) as receiver, afunix.open_datagrams() as sender:
            queued = await fill(sender, path)
            with monkeypatch.context() as patched:
                patched.setattr("afunix.streams.room.os.dup", refuse)
                patched.setattr("afunix.streams.datagrams.open_probe", lambda to: None)
                sending = asyncio.ensure_future(sender.send(b"last", to=path))
                await turns()
            for _ in range(queued):
                await receiver.receive()
            await sending

    run(main())


# Misuse


def test_another_loop_is_told(path: str) -> None:
    async def make() -> afunix.DatagramSocket:
        return afunix.open_datagrams(path)

    async def use(sock: afunix.DatagramSocket) -> None:
        with pytest.raises(afunix.WrongLoopError, match="this datagram socket belongs to another event loop"):
            await sock.receive()
        with pytest.raises(afunix.WrongLoopError):
            await sock.send(b"", to=path)

    sock = asyncio.run(make())
    asyncio.run(use(sock))
    sock.close()


def test_without_a_loop_it_is_refused(path: str) -> None:
    with pytest.raises(afunix.WrongLoopError, match="needs a running event loop"):
        afunix.open_datagrams(path)
    assert not os.path.lexists(path)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"accept_fds": 254}, ValueError),
        ({"accept_fds": "1"}, TypeError),
        ({"mode": 0o10000}, afunix.AddressError),
        ({"owner": "nobody-of-this-name"}, afunix.AddressError),
        ({"send_timeout": -1}, ValueError),
        ({"to": ""}, afunix.AddressError),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_there(
    path: str, options: dict[str, Any], error: type[Exception]
) -> None:
    async def main() -> None:
        with pytest.raises(error):
            afunix.open_datagrams(path, **options)
        assert not os.path.lexists(path)

    run_in("asyncio", main())


def test_forgotten_it_warns_and_leaves_its_path(path: str) -> None:
    async def main() -> None:
        sock = afunix.open_datagrams(path)
        with pytest.warns(ResourceWarning, match=r"unclosed <afunix.DatagramSocket .*test_datagrams.py:\d+"):
            del sock
            gc.collect()
        assert os.path.exists(path)

    run_in("asyncio", main())


def test_closed_it_says_so(run: Run, path: str) -> None:
    async def main() -> None:
        sock = afunix.open_datagrams(path)
        await sock.aclose()
        sock.close()
        for awaitable in (sock.receive(), sock.send(b"", to=path)):
            with pytest.raises(afunix.ClosedError, match="this datagram socket is closed"):
                await awaitable
        assert (str(sock.local_address), sock.state) == (path, afunix.State.CLOSED)

    run(main())
