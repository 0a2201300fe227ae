"""The order of a stop: nobody who got through is lost, a successor starts at once, and nothing outlives its server."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

import pytest
from tests.streams.event_loops import LOOPS, run_in
from tests.streams.visitors import Reports, Visitor, echo, until, visitors

import afunix
from afunix.events import Accepted, Closed, Event, HalfClosed, Unlinked
from afunix.kernel.listener import Listener as BoundListener
from afunix.model.errors import DeniedError

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return lambda main: run_in(request.param, main)


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


async def collect(stream: afunix.Stream) -> None:
    """Answer with how much there was, at the end."""
    count = 0
    async for chunk in stream:
        count += len(chunk)
    await stream.send(b"%d" % count)


async def linger(stream: afunix.Stream) -> None:
    await asyncio.sleep(3600)


# Who is served, who is refused


def test_who_waits_in_the_backlog_is_still_served(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(collect, path) as server:
            server.pause()
            with ExitStack() as stack:
                waiting = visitors(path, 3, stack)
                for visitor in waiting:
                    visitor.send(b"hello")
                await server.aclose()
                assert [await visitor.receive_all() for visitor in waiting] == [b"5"] * 3

    run(main())


def test_who_comes_during_a_drain_is_refused_and_a_successor_takes_the_path(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as old:
            with Visitor(path) as visitor:
                assert await visitor.ask(b"1") == b"1"
                draining = asyncio.create_task(old.drain())
                await until(lambda: not os.path.exists(path))
                async with afunix.serve(collect, path):
                    assert await visitor.ask(b"2") == b"2"  # the old one goes on
                    with Visitor(path) as newcomer:
                        newcomer.send(b"xyz")
                        newcomer.sock.shutdown(socket.SHUT_WR)
                        assert await newcomer.receive_all() == b"3"
                    visitor.close()
                    assert await draining
                    await old.aclose()
                    assert os.path.exists(path)  # it is the successor's

    run(main())


def test_what_was_sent_before_the_stop_is_received_whole_and_later_sends_fail(run: Run, path: str) -> None:
    size = 100_000

    async def slow(stream: afunix.Stream) -> None:
        await gate.wait()
        await collect(stream)

    gate = asyncio.Event()

    async def main() -> None:
        async with afunix.serve(slow, path) as server:
            with Visitor(path) as visitor:
                await until(lambda: server.stats.live)
                visitor.send(bytes(size))
                closing = asyncio.create_task(server.aclose())
                await until(lambda: is_refused(visitor))
                gate.set()
                assert await visitor.receive_all() == b"%d" % size
                await closing

    run(main())


def is_refused(visitor: Visitor) -> bool:
    try:
        visitor.sock.send(b"")
        return False
    except BrokenPipeError:
        return True


def test_steps_are_told_in_their_order(run: Run, path: str) -> None:
    told: list[Event] = []

    async def main() -> None:
        async with afunix.serve(collect, path, observer=told.append) as server:
            server.pause()
            with Visitor(path):
                await server.aclose()
        steps = [type(event) for event in told if isinstance(event, (HalfClosed, Accepted, Unlinked, Closed))]
        assert steps == [HalfClosed, Accepted, Unlinked, HalfClosed, Closed, Closed]

    run(main())


def test_who_waits_for_a_place_is_served_too_though_nobody_leaves(run: Run, path: str) -> None:
    async def handle(stream: afunix.Stream) -> None:
        await (collect(stream) if await stream.receive() == b"count" else linger(stream))

    async def main() -> None:
        async with afunix.serve(handle, path, max_clients=1, queue_timeout=60.0) as server:
            with Visitor(path) as first, Visitor(path) as second:
                first.send(b"linger")
                second.send(b"count")
                await until(lambda: server.stats.waiting == 1 and server.stats.bytes_received)
                await server.aclose(patience=0.1)
                assert await second.receive_all() == b"0"

    run(main())


# How long


def test_drain_waits_for_the_last_to_leave(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
                draining = asyncio.create_task(server.drain())
                assert await visitor.ask(b"y") == b"y"
                assert not draining.done()
            assert await draining is True

    run(main())


def test_drain_tells_when_some_go_on(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
                assert await server.drain(0.01) is False
                assert await server.drain(0) is False
                assert await visitor.ask(b"y") == b"y"
            assert await server.drain(30) is True

    run(main())


def test_drain_of_nobody_is_over_at_once(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            assert await server.drain(0) is True
            assert not os.path.exists(path)

    run(main())


def test_a_cancelled_drain_has_begun_the_stop(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await server.drain()
                assert not os.path.exists(path)
                server.resume()  # harmless, and no new beginning
                assert await visitor.ask(b"y") == b"y"

    run(main())


def test_a_handler_that_moves_nothing_is_cancelled_when_patience_ends(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(linger, path) as server:
            with Visitor(path) as visitor:
                await until(lambda: server.stats.live)
                await server.aclose(patience=0.05)
                assert await visitor.is_turned_away()
                assert (server.stats.live, server.stats.failed) == (0, 0)

    run(main())


def test_patience_lasts_while_bytes_move(run: Run, path: str) -> None:
    async def tell_slowly(stream: afunix.Stream) -> None:
        for _ in range(10):
            await stream.send(b"x")
            await asyncio.sleep(0.03)

    async def main() -> None:
        async with afunix.serve(tell_slowly, path) as server:
            with Visitor(path) as visitor:
                await until(lambda: server.stats.live)
                await server.aclose(patience=0.1)
                assert await visitor.receive_all() == b"x" * 10

    run(main())


def test_patience_lasts_while_a_client_reads_what_was_sent(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(lambda stream: stream.send(bytes(300_000)), path) as server:
            with Visitor(path) as visitor:
                await until(lambda: server.stats.live)
                stopping = asyncio.create_task(server.aclose(patience=0.2))
                received = 0
                while piece := await visitor.receive(1 << 15):
                    received += len(piece)
                    await asyncio.sleep(0.05)
                await stopping
                assert received == 300_000

    run(main())


def test_patience_ends_soon_after_the_last_byte(run: Run, path: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with afunix.serve(linger, path) as server:
            with Visitor(path):
                await until(lambda: server.stats.live)
                before = loop.time()
                await server.aclose(patience=0.4)
                assert 0.39 <= loop.time() - before < 0.7

    run(main())


def test_a_handler_that_resists_cancellation_is_waited_for(run: Run, path: str) -> None:
    ended: list[str] = []

    async def resist(stream: afunix.Stream) -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                await asyncio.sleep(0.05)
                with pytest.raises(afunix.ClosedError, match="the server of this stream has ended"):
                    await stream.send(b"x")
        ended.append("by itself")

    async def main() -> None:
        async with afunix.serve(resist, path) as server:
            with Visitor(path):
                await until(lambda: server.stats.live)
                await server.aclose(patience=0)
                assert ended == ["by itself"]

    run(main())


# Again, together, in the middle


def test_a_stop_is_idempotent_and_can_be_asked_for_twice_at_once(run: Run, path: str) -> None:
    told: list[Event] = []

    async def main() -> None:
        async with afunix.serve(collect, path, observer=told.append) as server:
            with Visitor(path) as visitor:
                await until(lambda: server.stats.live)
                await asyncio.gather(server.aclose(), server.aclose(), server.drain(9))
                assert await visitor.receive_all() == b"0"
            await server.aclose()
            server.abort()
        assert sum(isinstance(event, Unlinked) for event in told) == 1
        assert sum(isinstance(event, HalfClosed) for event in told) == 2  # the listener, the client

    run(main())


def test_a_cancelled_stop_is_an_abort(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(linger, path) as server:
            with Visitor(path) as visitor:
                await until(lambda: server.stats.live)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await server.aclose()
                assert await visitor.is_turned_away()
                assert (server.stats.live, os.path.exists(path)) == (0, False)

    run(main())


def test_an_exception_that_leaves_the_with_is_an_abort(run: Run, path: str) -> None:
    async def main() -> None:
        with ExitStack() as stack:
            with pytest.raises(ZeroDivisionError):
                async with afunix.serve(linger, path) as server:
                    (visitor,) = visitors(path, 1, stack)
                    await until(lambda: server.stats.live)
                    raise ZeroDivisionError
            assert await visitor.is_turned_away()
            assert (server.stats.live, os.path.exists(path)) == (0, False)

    run(main())


def test_abort_ends_everything_at_once(run: Run, path: str) -> None:
    cancelled: list[bool] = []

    async def handle(stream: afunix.Stream) -> None:
        try:
            await stream.receive()
        except asyncio.CancelledError:
            cancelled.append(stream.is_closed)
            raise

    async def main() -> None:
        async with afunix.serve(handle, path, max_clients=1, queue_timeout=60.0) as server:
            with Visitor(path) as served, Visitor(path) as waiting:
                await until(lambda: server.stats.waiting)
                server.abort()
                assert not os.path.exists(path)
                assert await served.is_turned_away()
                assert await waiting.is_turned_away()
        assert (cancelled, server.stats.live, server.stats.waiting) == ([True], 0, 0)

    run(main())


@pytest.mark.parametrize("how", ["abort", "aclose"])
def test_a_handler_may_end_its_own_server(run: Run, path: str, how: str) -> None:
    async def end_all(stream: afunix.Stream) -> None:
        if how == "abort":
            server.abort()
        else:
            await server.aclose(patience=0.05)
        await asyncio.sleep(3600)

    server: afunix.Server

    async def main() -> None:
        nonlocal server
        server = afunix.serve(end_all, path)
        async with server:
            with Visitor(path) as visitor:
                assert await visitor.is_turned_away()
        assert server.stats.live == 0

    run(main())


# What is ours and what is not


def test_an_inherited_listener_is_neither_shut_down_nor_unlinked(run: Run, path: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
            sock.listen()
            with socket.socket(fileno=os.dup(sock.fileno())) as ours:
                async with afunix.serve(echo, ours):
                    with Visitor(path) as visitor:
                        assert await visitor.ask(b"x") == b"x"
                assert ours.fileno() == -1
            assert os.path.exists(path)
            with Visitor(path):  # it waits for the next holder
                sock.accept()[0].close()

    run(main())


def test_a_path_that_is_somebody_elses_by_now_is_left_alone(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path):
            os.unlink(path)
            with open(path, "w") as file:
                file.write("mine")
        assert os.path.isfile(path)

    run(main())


def test_a_path_that_is_gone_is_no_error(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path):
            os.unlink(path)

    run(main())


def test_a_path_is_kept_if_asked_for(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path, keep=True):
            pass
        assert os.path.exists(path)

    run(main())


def test_the_path_is_found_after_chdir(run: Run, sock_dir: str) -> None:
    async def main() -> None:
        before = os.getcwd()
        os.chdir(sock_dir)
        try:
            async with afunix.serve(echo, "s"):
                os.chdir("/")
        finally:
            os.chdir(before)
        assert os.listdir(sock_dir) == []

    run(main())


def test_a_path_that_cannot_be_removed_is_told_and_the_stop_goes_on(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        BoundListener, "unlink", lambda self: DeniedError("not writable") if self._file else None
    )

    async def main() -> None:
        reports = Reports()
        async with afunix.serve(echo, path) as server:
            await server.drain(0)
            assert reports.messages == ["a server could not remove its path"]
            server.listeners[0]._file.close()  # type: ignore[union-attr]
            server.listeners[0]._file = None

    run(main())


@pytest.mark.parametrize("how", ["leaves the with", "aborts", "drains"])
def test_a_forked_child_takes_nothing_from_its_parent(run: Run, path: str, how: str) -> None:
    def in_child(server: afunix.Server) -> None:
        if how == "leaves the with":
            coroutine = server.__aexit__(None, None, None)
            with pytest.raises(StopIteration):
                coroutine.send(None)
        elif how == "aborts":
            server.abort()
        else:
            with pytest.raises(afunix.WrongLoopError, match="forked"):
                server.drain().send(None)

    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
                pid = os.fork()
                if not pid:
                    status = 1
                    try:
                        in_child(server)
                        status = 0
                    finally:
                        os._exit(status)
                assert os.waitpid(pid, 0)[1] == 0
                assert os.path.exists(path)
                assert await visitor.ask(b"y") == b"y"
            with Visitor(path) as newcomer:
                assert await newcomer.ask(b"z") == b"z"

    run(main())


def test_a_forked_child_that_aborts_closes_its_copy_of_what_watches_an_inherited_listener(
    run: Run, path: str
) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
            sock.listen()
            sock.setblocking(False)
            async with afunix.serve(echo, f"fd:{os.dup(sock.fileno())}") as server:
                (epoll,) = server._acceptor._epolls.values()
                pid = os.fork()
                if not pid:
                    status = 1
                    try:
                        server.abort()
                        status = 0 if epoll.closed else 2
                    finally:
                        os._exit(status)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
                with Visitor(path) as visitor:
                    assert await visitor.ask(b"x") == b"x"

    run(main())
