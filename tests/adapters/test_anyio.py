"""Opening with anyio: who is there, who is not, how long is waited, and what it says where anyio is missing."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys

import anyio
import pytest
import trio
import trio.testing
from anyio import wait_all_tasks_blocked

import afunix
import afunix.adapters.anyio
from afunix.adapters.anyio import Listener, Stream, connect, listen, pair
from afunix.kernel.listener import Listener as BoundListener

pytestmark = pytest.mark.anyio


def full(path: str) -> tuple[socket.socket, socket.socket]:
    """A server whose backlog is full, and who fills it."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(0)
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    return server, client


@pytest.mark.parametrize("kind", [str, os.fsencode, pathlib.Path, afunix.Address.parse])
async def test_an_address_may_be_written_in_any_form(sock_dir: str, kind: type[str]) -> None:
    path = kind(f"{sock_dir}/s")
    async with listen(path) as listener, await connect(path) as client, await listener.accept() as stream:
        await client.send(b"x")
        assert await stream.receive() == b"x"


async def test_abstract_names_and_long_paths_work(sock_dir: str) -> None:
    deep = f"{sock_dir}/{'d' * 150}"
    os.mkdir(deep)
    for address in (f"@af-{os.getpid()}-test", f"{deep}/s"):
        async with listen(address) as listener, await connect(address):
            await (await listener.accept()).aclose()


async def test_what_stands_in_the_way_is_an_os_error_with_its_number(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with pytest.raises(afunix.NoSuchSocketError, match="ENOENT") as raised:
        await connect(path)
    assert isinstance(raised.value, FileNotFoundError)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with pytest.raises(afunix.NobodyListensError, match="ECONNREFUSED"):
        await connect(path)


async def test_a_server_of_records_is_none_for_a_stream(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as records:
        records.bind(path)
        records.listen()
        with pytest.raises(afunix.WrongTypeError):
            await connect(path)


async def test_a_full_backlog_is_waited_for(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    server, first = full(path)
    streams: list[Stream] = []

    async def dial() -> None:
        streams.append(await connect(path))

    with server, first:
        async with anyio.create_task_group() as group:
            group.start_soon(dial)
            await wait_all_tasks_blocked()
            assert not streams
            server.accept()[0].close()
        server.accept()[0].close()
        await streams[0].aclose()


async def test_a_full_backlog_is_waited_for_no_longer_than_allowed(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    server, first = full(path)
    with server, first, pytest.raises(afunix.TimedOutError, match="EAGAIN"):
        await connect(path, timeout=0.02)


def test_a_deadline_is_of_the_clock_that_the_loop_has(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    server, first = full(path)

    async def main() -> None:
        with pytest.raises(afunix.TimedOutError):
            await connect(path, timeout=60)

    with server, first:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_cancelled_connect_leaves_nothing_open(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    server, first = full(path)
    with server, first:
        before = os.listdir("/proc/self/fd")
        with anyio.move_on_after(0.02) as scope:
            await connect(path)
        assert scope.cancelled_caught
        assert len(os.listdir("/proc/self/fd")) == len(before)


async def test_a_server_that_comes_later_is_waited_for(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    streams: list[Stream] = []

    async def dial() -> None:
        streams.append(await connect(path, wait=30))

    async with anyio.create_task_group() as group:
        group.start_soon(dial)
        await wait_all_tasks_blocked()
        listener = listen(path)
    await streams[0].aclose()
    await listener.aclose()


async def test_a_server_that_is_somebody_else_is_sent_nothing(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    async with listen(path) as listener:
        with pytest.raises(afunix.PeerMismatchError):
            await connect(path, require=afunix.Rules("deny me"))
        async with await connect(path, require="me"), await listener.accept() as refused:
            with pytest.raises(anyio.EndOfStream):
                await refused.receive()


async def test_a_socket_from_systemd_becomes_a_listener(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        bound.listen()
        inherited = BoundListener.take(afunix.Address.parse(path), socket.socket(fileno=bound.detach()))
        async with listen(inherited) as listener:
            assert isinstance(listener, Listener)
            async with await connect(path), await listener.accept() as stream:
                assert stream.peer.uid == os.getuid()
    assert os.path.exists(path)


@pytest.mark.parametrize("accept_fds", [-1, 254])
async def test_so_many_descriptors_cannot_be_accepted(sock_dir: str, accept_fds: int) -> None:
    with pytest.raises(ValueError, match="accept_fds"):
        pair(accept_fds=accept_fds)
    with pytest.raises(ValueError, match="accept_fds"):
        listen(f"{sock_dir}/s", accept_fds=accept_fds)
    with pytest.raises(ValueError, match="accept_fds"):
        await connect(f"{sock_dir}/s", accept_fds=accept_fds)


def test_a_pair_needs_no_running_loop() -> None:
    one, other = pair()
    one.close()
    other.close()


def without(library: str, module: str) -> str:
    """What importing `module` says where `library` is not installed."""
    program = f"import sys; sys.modules[{library!r}] = None; import {module}"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.splitlines()[-1]


def test_where_anyio_is_missing_it_says_what_to_install() -> None:
    expected = "ImportError: afunix.adapters.anyio needs anyio 4.10 or later: pip install 'afunix[anyio]'"
    assert without("anyio", "afunix.adapters.anyio") == expected


def test_where_trio_is_missing_its_adapter_says_what_to_install() -> None:
    assert without("trio", "afunix.adapters.trio") == (
        "ImportError: afunix.adapters.trio needs trio: pip install trio"
    )


def test_every_promised_name_is_there() -> None:
    promised = afunix.adapters.anyio.__all__
    assert promised == ["Listener", "Stream", "attach", "connect", "listen", "pair"]
    assert [name for name in promised if not hasattr(afunix.adapters.anyio, name)] == []


async def test_an_inherited_socket_that_is_refused_stays_its_owners() -> None:
    for kind, require in ((socket.SOCK_SEQPACKET, None), (socket.SOCK_STREAM, f"user:{os.getuid() + 1}")):
        near, far = socket.socketpair(socket.AF_UNIX, kind)
        with near, far:
            with pytest.raises(afunix.AfunixError):
                await connect(f"fd:{near.fileno()}", require=require)
            far.send(b"x")
            assert near.recv(9) == b"x"
