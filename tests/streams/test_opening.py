"""`connect`, `attach` and `pair`: what is waited for, what is refused, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.loops import HandTurned
from tests.program import PATIENCE_S
from tests.servers import datagram_socket, read_all, serving
from tests.streams.event_loops import LOOPS, run_in, turns

import afunix
from afunix.kernel.fallbacks import is_forced
from afunix.kernel.peercred import SO_PASSRIGHTS
from afunix.model import events
from afunix.model.lifecycle import Call

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
    return f"{sock_dir}/s"


@pytest.fixture
def full(path: str) -> Iterator[socket.socket]:
    """A listener whose backlog has no room."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        yield listener


def descriptors() -> set[str]:
    return {*os.listdir("/proc/self/fd")}


# connect


def test_stream_is_to_the_server_and_knows_both_names(run: Run, path: str) -> None:
    async def main() -> None:
        async with await afunix.connect(path, timeout=PATIENCE_S) as stream:
            assert stream.peer_address == afunix.Address.pathname(path)
            assert str(stream.local_address) == "(unnamed)"
            assert stream.peer.pid == os.getpid()
            await stream.send(b"ping")

    with serving(path, read_all) as server:
        run(main())
        assert server.result() == b"ping"


@pytest.mark.parametrize("shape", ["str", "bytes", "Path", "Address", "abstract", "long", "undecodable"])
def test_every_way_to_write_an_address_works(sock_dir: str, shape: str) -> None:
    name = b"\0af\0" + os.urandom(8)
    long = f"{sock_dir}/{'d' * 120}"
    addresses: dict[str, tuple[Any, Any]] = {
        "str": (f"{sock_dir}/s", f"{sock_dir}/s"),
        "bytes": (f"{sock_dir}/s".encode(), f"{sock_dir}/s"),
        "Path": (Path(sock_dir, "s"), f"{sock_dir}/s"),
        "Address": (afunix.Address.parse(f"{sock_dir}/s"), f"{sock_dir}/s"),
        "abstract": (afunix.Address.from_kernel(name), name),
        "long": (f"{long}/s", f"{sock_dir}/link/s"),
        "undecodable": (f"{sock_dir}/\udcff", f"{sock_dir}/\udcff".encode("utf-8", "surrogateescape")),
    }
    written, bound = addresses[shape]
    os.mkdir(long)
    os.symlink(long, f"{sock_dir}/link")

    async def main() -> None:
        async with await afunix.connect(written) as stream:
            assert stream.peer_address == afunix.Address.of(written)  # as asked for, not as bound
            await stream.send_eof()
            with pytest.raises(afunix.EndOfStream):
                await stream.receive()

    with serving(bound, read_all):
        asyncio.run(main())


def test_many_who_wait_for_a_full_backlog_all_get_through(run: Run, path: str, full: socket.socket) -> None:
    count = 20

    async def serve() -> list[socket.socket]:
        full.setblocking(False)
        return [(await asyncio.get_running_loop().sock_accept(full))[0] for _ in range(count + 1)]

    async def main() -> None:
        clients = [asyncio.create_task(afunix.connect(path, timeout=PATIENCE_S)) for _ in range(count)]
        await turns()
        assert not any(client.done() for client in clients)
        accepted = await serve()
        streams = await asyncio.gather(*clients)
        for stream in streams:
            await stream.send(b"x")
            stream.close()
        assert [sock.recv(2) for sock in accepted[1:]] == [b"x"] * count
        for sock in accepted:
            sock.close()

    run(main())


@pytest.mark.usefixtures("full")
def test_full_backlog_ends_at_the_deadline_at_almost_no_cost(run: Run, path: str) -> None:
    async def main() -> None:
        before, began = os.times(), time.monotonic()
        with pytest.raises(
            afunix.TimedOutError, match=r"no connection within 0\.5 s: the backlog of .* is full"
        ):
            await afunix.connect(path, timeout=0.5)
        took, after = time.monotonic() - began, os.times()
        assert 0.45 < took < 2  # uvloop's clock is as old as its turn
        assert after.user + after.system - before.user - before.system < 0.2

    run(main())


@pytest.mark.usefixtures("full")
def test_cancelled_while_it_waits_it_closes_the_socket_at_once(run: Run, path: str) -> None:
    async def main() -> None:
        task = asyncio.create_task(afunix.connect(path))
        before = descriptors()
        while descriptors() == before:
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert descriptors() == before

    run(main())


@pytest.mark.usefixtures("full")
def test_time_out_of_asyncio_leaves_nothing_open(run: Run, path: str) -> None:
    async def main() -> None:
        before = descriptors()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await afunix.connect(path)
        assert descriptors() == before

    run(main())


def late_server(path: str) -> Generator[None, None, None]:
    """What happens, one thing at each step: a server comes, listens, is full, and has room."""
    yield
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        yield
        listener.listen(0)
        first.connect(path)
        yield
        yield
        listener.accept()[0].close()
        yield


@pytest.mark.parametrize("steps", range(6))
def test_cancelled_at_any_step_it_leaves_nothing_open(loop: HandTurned, path: str, steps: int) -> None:
    before = descriptors()
    with contextlib.closing(late_server(path)) as story:
        task = loop.create_task(afunix.connect(path, wait=60))
        for _ in range(steps):
            next(story)
            loop.advance(0.2)
        assert task.done() is (steps == 5)
        task.cancel()
        loop.until(task.done)
        if not task.cancelled():
            task.result().close()
        del task
    assert descriptors() == before


def test_absent_server_is_waited_for(run: Run, path: str) -> None:
    failures: list[events.Event] = []

    async def main() -> None:
        wait = afunix.Retry(PATIENCE_S, longest_pause=0.01)
        task = asyncio.create_task(afunix.connect(path, wait=wait, observer=failures.append))
        while not failures:
            await asyncio.sleep(0)
        with serving(path, read_all):
            (await task).close()

    run(main())
    numbers = {event.errno for event in failures if isinstance(event, events.CallFailed)}
    assert errno.ENOENT in numbers <= {errno.ENOENT, errno.ECONNREFUSED}


def make_stale(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()


def make_loop(path: str) -> None:
    os.symlink(path, path)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda path: None, afunix.NoSuchSocketError, r"does not exist \(ENOENT\)"),
        (make_stale, afunix.NobodyListensError, "stale socket file, ECONNREFUSED"),
        (lambda path: open(path, "w").close(), afunix.NotASocketError, "is a regular file"),
        (os.mkdir, afunix.NotASocketError, "is a directory"),
        (make_loop, afunix.NoSuchSocketError, "ELOOP"),
    ],
)
def test_what_is_in_the_way_has_an_error_of_its_own(
    path: str, make: Callable[[str], None], error: type[afunix.AfunixError], words: str
) -> None:
    make(path)
    with pytest.raises(error, match=words) as raised:
        asyncio.run(as_main(afunix.connect(path)))
    assert isinstance(raised.value, OSError)


async def as_main(connecting: Coroutine[Any, Any, afunix.Stream]) -> None:
    (await connecting).close()


@pytest.mark.parametrize("word", ["dgram", "seqpacket"])
def test_socket_of_another_type_is_told_with_what_it_is_for(path: str, word: str) -> None:
    server = datagram_socket(path) if word == "dgram" else serving(path, read_all, socket.SOCK_SEQPACKET)
    with server, pytest.raises(afunix.WrongTypeError, match=f"is a {word} socket, and stream") as error:
        asyncio.run(as_main(afunix.connect(path)))
    assert "connect_packets() for seqpacket" in str(error.value.hint)


def test_server_that_is_somebody_else_gets_nothing(path: str) -> None:
    async def main() -> None:
        seen: list[events.Event] = []
        with pytest.raises(afunix.PeerMismatchError, match="is served by uid"):
            await afunix.connect(path, require=f"user:{os.geteuid() + 1}", observer=seen.append)
        assert [type(event) for event in seen] == [events.Created, events.Connected, events.Closed]
        (await afunix.connect(path, require="me")).close()
        (await afunix.connect(path, require=afunix.Rules("allow me"))).close()

    with serving(path, read_all) as server:
        asyncio.run(main())
        assert server.result() == b""


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"timeout": -1}, ValueError),
        ({"wait": float("nan")}, ValueError),
        ({"wait": "1"}, TypeError),
        ({"accept_fds": 254}, ValueError),
        ({"accept_fds": -1}, ValueError),
        ({"accept_fds": True}, TypeError),
        ({"send_timeout": -1}, ValueError),
        ({"require": "nobody at all"}, afunix.AddressError),
        ({"require": 0}, TypeError),
    ],
)
def test_argument_that_cannot_be_meant_is_refused_before_anything_is_opened(
    path: str, wrong: dict[str, Any], error: type[Exception]
) -> None:
    seen: list[events.Event] = []
    with serving(path, read_all), pytest.raises(error):
        asyncio.run(as_main(afunix.connect(path, observer=seen.append, **wrong)))
    assert seen == []


@pytest.mark.parametrize(("address", "error"), [("", ValueError), ("a\0b", ValueError), (3, TypeError)])
def test_what_is_no_address_is_refused(address: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        asyncio.run(as_main(afunix.connect(address)))


def test_observer_is_told_every_call(path: str) -> None:
    seen: list[events.Event] = []

    async def main() -> int:
        async with await afunix.connect(path, observer=seen.append) as stream:
            await stream.send(b"ping")
            return stream.fileno()

    with serving(path, read_all) as server:
        fd = asyncio.run(main())
        server.result()
    assert seen == [
        events.Created(fd, "SOCK_STREAM"),
        events.Connected(fd, afunix.Address.pathname(path)),
        events.BytesWritten(fd, 4),
        events.Closed(fd, 0, 0, 4),
    ]


def test_failure_is_observed_too(path: str) -> None:
    seen: list[events.Event] = []
    with pytest.raises(afunix.NoSuchSocketError):
        asyncio.run(as_main(afunix.connect(path, observer=seen.append)))
    address = afunix.Address.pathname(path)
    assert seen[1:] == [
        events.CallFailed(seen[0].fd, Call.CONNECT, errno.ENOENT, address),
        events.Closed(seen[0].fd),
    ]


@pytest.mark.skipif(is_forced("passrights"), reason="AFUNIX_FORCE_FALLBACK hides SO_PASSRIGHTS")
@pytest.mark.parametrize("accept_fds", [0, 1])
def test_descriptors_can_be_sent_to_it_only_if_it_asked(path: str, accept_fds: int) -> None:
    async def main() -> None:
        async with await afunix.connect(path, accept_fds=accept_fds) as stream:
            sock = socket.socket(fileno=os.dup(stream.fileno()))
            with sock:
                try:
                    assert sock.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == accept_fds
                except OSError:
                    pytest.skip("this kernel has no SO_PASSRIGHTS (Linux 6.16)")

    with serving(path, read_all):
        asyncio.run(main())


def test_descriptors_that_the_server_sends_arrive(path: str) -> None:
    async def main() -> None:
        async with await afunix.connect(path, accept_fds=1) as stream:
            with await stream.receive_fds() as received:
                assert (received.data, len(received.fds)) == (b"x", 1)

    def send_one(connection: socket.socket) -> None:
        socket.send_fds(connection, [b"x"], [connection.fileno()])

    with serving(path, send_one):
        asyncio.run(main())


def test_inherited_socket_is_a_stream_with_the_flags_that_it_had() -> None:
    async def main(fd: int) -> None:
        async with await afunix.connect(f"fd:{fd}") as stream:
            await stream.send(b"x")
            assert os.get_blocking(fd)
            assert str(stream.peer_address) == "(unnamed)"

    near, far = socket.socketpair()
    with far:
        asyncio.run(main(near.detach()))
        assert far.recv(2) == b"x"


def test_server_that_closes_its_listener_is_the_end_of_who_waits_in_the_backlog(run: Run, path: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(0)
            one = await afunix.connect(path)
            waiting = asyncio.create_task(afunix.connect(path))
            await turns()
            assert not waiting.done()
        with pytest.raises(afunix.NobodyListensError):
            await waiting
        with pytest.raises((afunix.EndOfStream, afunix.BrokenStreamError)):
            await one.receive()
        one.close()

    run(main())


def test_task_that_only_connects_lets_others_run(path: str) -> None:
    async def main() -> None:
        others = asyncio.create_task(asyncio.sleep(0))
        for _ in range(100):
            with contextlib.suppress(afunix.NoSuchSocketError):
                await afunix.connect(path)
        assert others.done()

    asyncio.run(main())


# attach


def test_attached_socket_is_the_streams_from_then_on(run: Run) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        with far:
            near.setblocking(True)
            async with afunix.attach(near) as stream:
                assert near.fileno() == -1
                assert os.get_blocking(stream.fileno())
                await stream.send(b"ping")
                far.send(b"pong")
                assert await stream.receive() == b"pong"
            assert far.recv(5) == b"ping"
            assert far.recv(1) == b""

    run(main())


def test_what_was_read_before_comes_first_and_is_counted_once() -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        with far:
            far.send(b"cd\n")
            async with afunix.attach(near.detach(), unread=b"ab") as stream:
                assert stream.stats.bytes_received == 0
                assert await stream.receive_until(b"\n") == b"abcd\n"
                assert stream.stats.bytes_received == 3

    asyncio.run(main())


def test_detached_stream_can_be_attached_again() -> None:
    async def give() -> tuple[socket.socket, bytes, socket.socket]:
        near, far = socket.socketpair()
        far.send(b"one\ntwo\n")
        stream = afunix.attach(near)
        assert await stream.receive_until(b"\n") == b"one\n"
        return *stream.detach(), far

    async def take(sock: socket.socket, unread: bytes) -> None:
        async with afunix.attach(sock, unread=unread) as stream:
            assert await stream.receive_until(b"\n") == b"two\n"

    sock, unread, far = asyncio.run(give())
    asyncio.run(take(sock, unread))
    far.close()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"accept_fds": 254}, ValueError),
        ({"send_timeout": "1"}, TypeError),
        ({"unread": "text"}, TypeError),
    ],
)
def test_socket_stays_its_owners_if_an_argument_is_refused(options: Any, error: type[Exception]) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        with near, far:
            with pytest.raises(error):
                afunix.attach(near, **options)
            far.send(b"x")
            assert near.recv(1) == b"x"

    asyncio.run(main())


def test_refused_socket_stays_open() -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            with pytest.raises(afunix.AddressError, match="not connected"):
                afunix.attach(sock.fileno())
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM

    asyncio.run(main())


def test_without_a_loop_nothing_is_taken() -> None:
    near, far = socket.socketpair()
    with near, far:
        with pytest.raises(afunix.WrongLoopError, match=r"attach\(\) needs a running event loop"):
            afunix.attach(near)
        assert near.fileno() >= 0
    with pytest.raises(RuntimeError, match=r"pair\(\) needs a running event loop"):
        afunix.pair()


def test_attached_socket_takes_descriptors_only_if_asked() -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        with far:
            async with afunix.attach(near, accept_fds=1) as stream:
                socket.send_fds(far, [b"x"], [0])
                with await stream.receive_fds() as received:
                    assert len(received.fds) == 1
        near, far = socket.socketpair()
        with far:
            async with afunix.attach(near) as stream:
                socket.send_fds(far, [b"x"], [0])
                assert await stream.receive() == b"x"
                assert stream.stats.descriptors_closed == 1

    asyncio.run(main())


# pair


def test_pair_is_two_streams_that_are_connected(run: Run) -> None:
    async def main() -> None:
        one, other = afunix.pair(send_timeout=9)
        async with one, other:
            await one.send(b"ping")
            assert await other.receive() == b"ping"
            assert one.send_timeout == 9
            assert one.peer.pid == os.getpid()
            with pytest.raises(afunix.AfunixError):
                await other.receive_fds()

    run(main())


def test_pair_passes_descriptors_if_it_is_to() -> None:
    async def main() -> None:
        one, other = afunix.pair(accept_fds=1)
        async with one, other:
            await one.send_fds(b"x", [0])
            with await other.receive_fds() as received:
                assert len(received.fds) == 1

    asyncio.run(main())


# forgotten ones


async def _connect(path: str) -> afunix.Stream:
    return await afunix.connect(path)


async def _connect_in_a_task(path: str) -> afunix.Stream:
    return await asyncio.create_task(afunix.connect(path))


async def _attach(path: str) -> afunix.Stream:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return afunix.attach(sock)


async def _pair(path: str) -> afunix.Stream:
    one, other = afunix.pair()
    other.close()
    return one


@pytest.mark.parametrize("make", [_connect, _connect_in_a_task, _attach, _pair])
def test_stream_that_is_forgotten_says_where_it_was_opened(
    path: str, make: Callable[[str], Coroutine[Any, Any, afunix.Stream]]
) -> None:
    async def main() -> None:
        with pytest.warns(ResourceWarning) as caught:
            await make(path)
            await asyncio.sleep(0)  # until then the loop holds the task whose result it is
            gc.collect()
        lines = range(make.__code__.co_firstlineno, make.__code__.co_firstlineno + 6)
        message = str(caught[0].message)
        assert any(message.endswith(f"opened at {__file__}:{line}") for line in lines), message

    with serving(path, read_all):
        asyncio.run(main())


def test_inherited_socket_that_is_refused_stays_its_owners() -> None:
    for kind, require in ((socket.SOCK_SEQPACKET, None), (socket.SOCK_STREAM, f"user:{os.getuid() + 1}")):
        near, far = socket.socketpair(socket.AF_UNIX, kind)
        with near, far:
            with pytest.raises(afunix.AfunixError) as caught:
                asyncio.run(afunix.connect(f"fd:{near.fileno()}", require=require))
            assert "--type" not in str(caught.value.hint)
            far.send(b"x")
            assert near.recv(9) == b"x"
