"""`connect_packets` and `listen_packets`: the same as for streams, on sockets of type seqpacket."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Coroutine
from functools import partial
from importlib.util import find_spec
from typing import Any

import pytest
from tests.streams.event_loops import LOOPS, run_in, turns

import afunix
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
    return f"{sock_dir}/p"


def test_a_client_and_a_server_exchange_packets(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen_packets(path, mode=0o640) as listener:
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
            async with await afunix.connect_packets(path) as client, await listener.accept() as served:
                await client.send(b"")
                await client.send(b"question")
                assert [await served.receive() for _ in range(2)] == [b"", b"question"]
                await served.send(b"answer")
                assert await client.receive() == b"answer"
                assert (str(client.peer_address), str(served.local_address)) == (path, path)
                assert client.peer.pid == served.peer.pid == os.getpid()
        assert not os.path.lexists(path)

    run(main())


def test_clients_come_one_by_one_until_the_listener_is_closed(run: Run, path: str) -> None:
    async def main() -> None:
        listener = afunix.listen_packets(path)
        clients = [await afunix.connect_packets(path) for _ in range(3)]
        count = 0
        async for served in listener:
            served.close()
            count += 1
            if count == 3:
                listener.close()
        for client in clients:
            with pytest.raises(afunix.EndOfStream):
                await client.receive()
            client.close()

    run(main())


def test_serve_gives_its_handler_packets(run: Run, path: str) -> None:
    async def echo(packets: afunix.PacketStream) -> None:
        async for packet in packets:
            await packets.send(packet)

    async def main() -> None:
        async with (
            afunix.serve(echo, afunix.listen_packets(path)),
            await afunix.connect_packets(path) as client,
        ):
            for packet in (b"", b"1", bytes(70_000)):
                await client.send(packet)
                assert await client.receive() == packet

    run(main())


def test_a_server_of_another_type_is_named(run: Run, path: str) -> None:
    async def main() -> None:
        with (
            afunix.listen(path),
            pytest.raises(afunix.WrongTypeError, match="is a stream socket, and seqpacket was asked for"),
        ):
            await afunix.connect_packets(path)

    run(main())


def test_descriptors_pass_if_they_are_asked_for(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen_packets(path, accept_fds=2) as listener:
            async with await afunix.connect_packets(path) as client, await listener.accept() as served:
                await client.send_fds(b"", [client, listener])
                with await served.receive_fds() as received:
                    assert len(received.fds) == 2
                with pytest.raises(afunix.AfunixError, match="without accept_fds"):
                    await client.receive_fds()

    run(main())


def test_a_full_backlog_is_waited_for_until_the_timeout(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen_packets(path, backlog=0) as listener:
            async with await afunix.connect_packets(path):
                with pytest.raises(afunix.TimedOutError, match="backlog"):
                    await afunix.connect_packets(path, timeout=0.02)
                waiting = asyncio.ensure_future(afunix.connect_packets(path))
                await turns()
                (await listener.accept()).close()
                (await waiting).close()

    run(main())


def test_the_server_must_be_who_it_must_be(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen_packets(path):
            with pytest.raises(afunix.PeerMismatchError):
                await afunix.connect_packets(path, require=f"user:{os.getuid() + 1}")
            (await afunix.connect_packets(path, require="me")).close()

    run(main())


@pytest.mark.parametrize("turn", range(4))
def test_cancelled_anywhere_it_leaves_nothing(run: Run, path: str, turn: int) -> None:
    async def main() -> None:
        with afunix.listen_packets(path) as listener:
            connecting = asyncio.ensure_future(afunix.connect_packets(path))
            accepting = asyncio.ensure_future(listener.accept())
            await turns(turn)
            connecting.cancel()
            accepting.cancel()
            await asyncio.wait([connecting, accepting])
            for task in (connecting, accepting):
                if not task.cancelled():
                    task.result().close()
        assert asyncio.get_running_loop() not in _HUBS

    run(main())


def test_an_inherited_socket_is_served_and_its_path_stays(run: Run, path: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as mine:
            mine.bind(path)
            mine.listen()
            with afunix.listen_packets(f"fd:{os.dup(mine.fileno())}") as listener:
                async with await afunix.connect_packets(path), await listener.accept() as served:
                    assert isinstance(served, afunix.PacketStream)
            assert os.path.exists(path)

    run(main())


def test_an_inherited_socket_of_another_type_is_refused_and_left_open(run: Run, path: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as mine:
            mine.bind(path)
            mine.listen()
            with pytest.raises(afunix.WrongTypeError, match="is a stream socket, expected seqpacket"):
                afunix.listen_packets(f"fd:{mine.fileno()}")
            assert mine.getsockname() == path

    run(main())


@pytest.mark.parametrize(
    ("options", "error"),
    [({"accept_fds": 254}, ValueError), ({"accept_fds": "1"}, TypeError), ({"send_timeout": -1}, ValueError)],
)
def test_what_cannot_be_meant_is_refused(path: str, options: dict[str, Any], error: type[Exception]) -> None:
    async def main() -> None:
        with pytest.raises(error):
            afunix.listen_packets(path, **options)
        with pytest.raises(error):
            await afunix.connect_packets(path, **options)

    run_in("asyncio", main())


# attach_packets


def test_a_detached_connection_is_attached_again_with_its_packets(run: Run) -> None:
    async def main() -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        async with afunix.attach_packets(far) as other:
            first = afunix.attach_packets(near)
            await other.send(b"one")
            await other.send(b"two")
            assert await first.receive() == b"one"
            async with afunix.attach_packets(first.detach()) as second:
                assert await second.receive() == b"two"

    run(main())


def test_each_type_is_attached_by_its_own_name(run: Run) -> None:
    async def main() -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with near, far:
            with pytest.raises(afunix.WrongTypeError) as told:
                afunix.attach(near)
            assert told.value.hint == "afunix.attach_packets() takes it"
        near, far = socket.socketpair()
        with near, far:
            with pytest.raises(afunix.WrongTypeError) as told:
                afunix.attach_packets(near)
            assert told.value.hint == "afunix.attach() takes it"

    run(main())


def test_without_a_loop_nothing_is_attached() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with (
        near,
        far,
        pytest.raises(afunix.WrongLoopError, match=r"attach_packets\(\) needs a running event loop"),
    ):
        afunix.attach_packets(near)
