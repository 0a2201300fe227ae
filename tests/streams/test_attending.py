"""Handlers: each client has a task, each failure is told, and none is a neighbour's problem."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, cast

import pytest
from tests.streams.event_loops import LOOPS, run_in
from tests.streams.visitors import Reports, Visitor, echo, until, visitors

import afunix
from afunix.events import Accepted, Closed, Dropped, Event, HandlerFailed, Queued, WentIdle

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return lambda main: run_in(request.param, main)


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


# A handler's end


def test_stream_is_closed_for_a_handler_that_forgets_to(run: Run, path: str) -> None:
    async def forget(stream: afunix.Stream) -> None:
        await stream.send(b"x")

    async def main() -> None:
        async with afunix.serve(forget, path):
            with Visitor(path) as visitor:
                assert await visitor.receive_all() == b"x"

    run(main())


def test_a_detached_stream_is_its_new_owners(run: Run, path: str) -> None:
    taken: list[socket.socket] = []

    async def give_away(stream: afunix.Stream) -> None:
        await stream.receive()
        taken.append(stream.detach()[0])

    async def main() -> None:
        async with afunix.serve(give_away, path, max_clients=1) as server:
            with Visitor(path) as visitor:
                visitor.send(b"x")
                await until(lambda: taken)
                assert server.stats.live == 0
                with taken[0]:
                    taken[0].send(b"from its new owner")
                    assert await visitor.receive() == b"from its new owner"

    run(main())


@pytest.mark.parametrize("is_observed", [False, True])
def test_failure_is_told_once_and_hurts_no_neighbour(run: Run, path: str, is_observed: bool) -> None:
    async def handle(stream: afunix.Stream) -> None:
        async for chunk in stream:
            if chunk == b"fail":
                raise ZeroDivisionError
            await stream.send(chunk)

    async def main() -> None:
        reports = Reports()
        told: list[Event] = []
        observer = told.append if is_observed else None
        async with afunix.serve(handle, path, observer=observer) as server:
            with Visitor(path) as neighbour, Visitor(path) as visitor:
                assert await neighbour.ask(b"hello") == b"hello"
                visitor.send(b"fail")
                assert await visitor.receive_all() == b""
                assert await neighbour.ask(b"again") == b"again"
                assert server.stats.failed == 1
        failures = [event for event in told if isinstance(event, HandlerFailed)]
        assert len(failures) == is_observed
        assert len(reports.contexts) == (not is_observed)
        if is_observed:
            assert (failures[0].connection, type(failures[0].error)) == (2, ZeroDivisionError)
        else:
            assert isinstance(reports.errors[0], ZeroDivisionError)
            assert reports.messages == [f"the handler of a client of '{path}' failed"]

    run(main())


def test_that_the_client_left_is_no_failure(run: Run, path: str) -> None:
    async def receive_for_ever(stream: afunix.Stream) -> None:
        while True:
            await stream.receive()

    async def main() -> None:
        reports = Reports()
        async with afunix.serve(receive_for_ever, path) as server:
            with Visitor(path) as visitor:
                visitor.send(b"x")
            await until(lambda: server.stats.accepted and not server.stats.live)
        assert (reports.contexts, server.stats.failed) == ([], 0)

    run(main())


def test_that_the_client_left_is_no_failure_of_a_task_group_either(run: Run, path: str) -> None:
    async def receive_for_ever(stream: afunix.Stream) -> None:
        while True:
            await stream.receive()

    async def in_two_tasks(stream: afunix.Stream) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(receive_for_ever(stream))
            group.create_task(asyncio.sleep(3600))

    async def main() -> None:
        reports = Reports()
        async with afunix.serve(in_two_tasks, path) as server:
            Visitor(path).close()
            await until(lambda: server.stats.accepted and not server.stats.live)
        assert (reports.contexts, server.stats.failed) == ([], 0)

    run(main())


def test_what_else_a_task_group_raises_is_told_without_the_end(run: Run, path: str) -> None:
    async def fail(stream: afunix.Stream) -> None:
        raise ExceptionGroup("both", [await the_end(stream), KeyError("x")])

    async def the_end(stream: afunix.Stream) -> Exception:
        try:
            await stream.receive()
        except afunix.EndOfStream as end:
            return end
        raise AssertionError

    async def main() -> None:
        reports = Reports()
        async with afunix.serve(fail, path):
            Visitor(path).close()
            await until(lambda: reports.contexts)
        (error,) = reports.errors
        assert isinstance(error, ExceptionGroup)
        assert [type(each) for each in error.exceptions] == [KeyError]

    run(main())


def test_the_end_of_another_stream_is_a_failure(run: Run, path: str) -> None:
    async def ask_behind(stream: afunix.Stream) -> None:
        near, far = afunix.pair()
        async with near:
            far.close()
            await near.receive()

    async def main() -> None:
        reports = Reports()
        async with afunix.serve(ask_behind, path):
            with Visitor(path) as visitor:
                assert await visitor.receive_all() == b""
        assert [type(error) for error in reports.errors] == [afunix.EndOfStream]

    run(main())


def test_awaiting_what_was_cancelled_elsewhere_is_a_failure(run: Run, path: str) -> None:
    async def await_cancelled(stream: afunix.Stream) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def main() -> None:
        reports = Reports()
        async with afunix.serve(await_cancelled, path):
            with Visitor(path) as visitor:
                assert await visitor.receive_all() == b""
        assert [type(error) for error in reports.errors] == [asyncio.CancelledError]

    run(main())


def test_an_error_of_an_unusual_kind_is_told_too(run: Run, path: str) -> None:
    class Unusual(BaseException):
        pass

    async def fail(stream: afunix.Stream) -> None:
        raise Unusual

    async def main() -> None:
        reports = Reports()
        async with afunix.serve(fail, path):
            with Visitor(path) as visitor:
                assert await visitor.receive_all() == b""
        gc.collect()  # asyncio reports what a task ended with once that is gone
        assert [type(error) for error in reports.errors] == [Unusual]

    run(main())


def test_a_handler_that_is_no_coroutine_function_is_told_by_name(run: Run, path: str) -> None:
    def forgot_async(stream: afunix.Stream) -> None:
        pass

    async def main() -> None:
        reports = Reports()
        async with afunix.serve(forgot_async, path):  # type: ignore[arg-type]
            with Visitor(path) as visitor:
                assert await visitor.receive_all() == b""
        (error,) = reports.errors
        assert isinstance(error, TypeError)
        assert "forgot_async' returned None, expected a coroutine: 'async def'" in str(error)

    run(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("waits", [False, True])
def test_what_ends_the_process_ends_it(run: Run, path: str, error: type[BaseException], waits: bool) -> None:
    closed: list[bool] = []

    async def end(stream: afunix.Stream) -> None:
        try:
            if waits:
                await stream.receive()
            raise error
        finally:
            closed.append(stream.is_closed)

    async def main() -> None:
        Reports()  # asyncio tells of it a second time
        async with afunix.serve(end, path):
            with Visitor(path) as visitor:
                await asyncio.sleep(0.01)
                visitor.send(b"x")
                await asyncio.sleep(60)

    with pytest.raises(error):
        run(main())
    assert not os.path.exists(path)
    gc.collect()


# Where a handler runs


def test_no_handler_inherits_the_context_of_another(run: Run, path: str) -> None:
    who = contextvars.ContextVar("who", default="nobody")
    seen: list[str] = []

    async def handle(stream: afunix.Stream) -> None:
        seen.append(who.get())
        who.set(f"client {len(seen)}")
        await asyncio.sleep(0)  # so that the others have to wait for a place
        await stream.receive()

    async def main() -> None:
        who.set("the server")
        for options in ({}, {"max_clients": 1}, {"max_clients": 1, "queue_timeout": 60.0}):
            seen.clear()
            async with afunix.serve(handle, path, **options) as server:
                with ExitStack() as stack:
                    for visitor in visitors(path, 4, stack):
                        visitor.send(b"x")
                    await until(lambda: server.stats.accepted == 4 and not server.stats.live)
            assert seen == ["the server"] * 4

    run(main())


def test_a_task_factory_of_the_hosts_is_used(run: Run, path: str) -> None:
    made: list[str] = []

    def factory(
        loop: asyncio.AbstractEventLoop, conversation: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        made.append(repr(conversation))
        return asyncio.Task(conversation, loop=loop, **options)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(cast(Any, factory))
        async with afunix.serve(echo, path):
            with Visitor(path) as visitor:
                assert await visitor.ask(b"hello") == b"hello"
        assert len(made) == 1

    run(main())


def test_a_task_factory_that_fails_costs_one_client_and_nothing_else(run: Run, path: str) -> None:
    failures = [ZeroDivisionError()]

    def factory(
        loop: asyncio.AbstractEventLoop, conversation: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        if failures:
            raise failures.pop()
        return asyncio.Task(conversation, loop=loop, **options)

    async def main() -> None:
        reports = Reports()
        asyncio.get_running_loop().set_task_factory(cast(Any, factory))
        async with afunix.serve(echo, path, max_clients=1, max_per_user=1) as server:
            with Visitor(path) as visitor:
                assert await visitor.is_turned_away()
            with Visitor(path) as visitor:
                assert await visitor.ask(b"hello") == b"hello"
            assert server.stats.live == 1 or server.stats.live == 0
        assert [type(error) for error in reports.errors] == [ZeroDivisionError]

    run(main())


def test_who_came_in_the_turn_of_the_abort_leaves_nothing_behind(run: Run, path: str) -> None:
    """Where a task does not begin at once (Python 3.11, a task factory) a cancelled one never begins."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(cast(Any, _later))

        def observe(event: Event) -> None:
            if isinstance(event, Accepted):
                loop.call_soon(server.abort)

        async with afunix.serve(echo, path, observer=observe) as server:
            with Visitor(path) as visitor:
                assert await visitor.is_turned_away()
        assert (server.stats.accepted, server.stats.live) == (1, 0)

    run(main())


def _later(
    loop: asyncio.AbstractEventLoop, conversation: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    return asyncio.Task(conversation, loop=loop, **options)


# Time


def test_idle_client_is_closed_and_its_handler_told(run: Run, path: str) -> None:
    told: list[Event] = []
    raised: list[BaseException] = []

    async def handle(stream: afunix.Stream) -> None:
        try:
            await stream.receive()
        except afunix.TimedOutError as error:
            raised.append(error)
            raise

    async def main() -> None:
        reports = Reports()
        async with afunix.serve(handle, path, idle_timeout=0.05, observer=told.append) as server:
            with Visitor(path) as visitor:
                assert await visitor.receive_all() == b""
            assert server.stats.failed == 0
        assert [str(error) for error in raised] == ["no byte has moved for 0.05 s: the client was closed"]
        assert [event.seconds for event in told if isinstance(event, WentIdle)] == [0.05]
        assert reports.contexts == []

    run(main())


def test_client_that_does_not_read_what_we_send_is_idle(run: Run, path: str) -> None:
    async def flood(stream: afunix.Stream) -> None:
        while True:
            await stream.send(bytes(65536))

    async def main() -> None:
        async with afunix.serve(flood, path, idle_timeout=0.05) as server:
            with Visitor(path):
                await until(lambda: server.stats.accepted and not server.stats.live)
            assert (server.stats.failed, server.stats.bytes_sent > 0) == (0, True)

    run(main())


def test_client_that_reads_what_we_have_sent_is_not_idle(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(lambda stream: stream.send(bytes(300_000)), path, idle_timeout=0.2) as server:
            with Visitor(path) as visitor:
                received = 0
                while piece := await visitor.receive(1 << 15):
                    received += len(piece)
                    await asyncio.sleep(0.05)
                assert received == 300_000
            await until(lambda: not server.stats.live)

    run(main())


def test_client_is_not_idle_while_its_handler_works(run: Run, path: str) -> None:
    async def work(stream: afunix.Stream) -> None:
        await asyncio.sleep(0.2)
        await stream.send(b"done")

    async def main() -> None:
        async with afunix.serve(work, path, idle_timeout=0.05):
            with Visitor(path) as visitor:
                assert await visitor.receive_all() == b"done"

    run(main())


def test_client_that_moves_a_byte_now_and_then_is_not_idle(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path, idle_timeout=0.1):
            with Visitor(path) as visitor:
                for _ in range(10):
                    await asyncio.sleep(0.03)
                    assert await visitor.ask(b"x") == b"x"

    run(main())


def test_send_timeout_is_every_streams(run: Run, path: str) -> None:
    async def flood(stream: afunix.Stream) -> None:
        await stream.send(bytes(4 << 20))

    async def main() -> None:
        reports = Reports()
        async with afunix.serve(flood, path, send_timeout=0.05):
            with Visitor(path):
                await until(lambda: reports.contexts)
        (error,) = reports.errors
        assert isinstance(error, afunix.TimedOutError)
        assert 0 < error.bytes_sent < 4 << 20

    run(main())


# Places


def test_client_waits_for_a_place_and_is_served_in_its_turn(run: Run, path: str) -> None:
    told: list[Event] = []

    async def main() -> None:
        async with afunix.serve(
            echo, path, max_clients=1, queue_timeout=30.0, observer=told.append
        ) as server:
            with Visitor(path) as first, Visitor(path) as second, Visitor(path) as third:
                assert await first.ask(b"1") == b"1"
                second.send(b"2")
                third.send(b"3")
                await until(lambda: server.stats.waiting == 2)
                assert (server.stats.live, server.stats.accepted) == (1, 3)
                first.close()
                assert await second.receive() == b"2"
                assert not third.has_answer()
                second.close()
                assert await third.receive() == b"3"
        assert [event.connection for event in told if isinstance(event, Queued)] == [2, 3]

    run(main())


def test_client_that_waited_too_long_is_dropped_unread_and_counted(run: Run, path: str) -> None:
    told: list[Event] = []

    async def main() -> None:
        async with afunix.serve(
            echo, path, max_clients=1, queue_timeout=0.03, observer=told.append
        ) as server:
            with Visitor(path) as first, Visitor(path) as second:
                assert await first.ask(b"1") == b"1"
                second.send(b"never read")
                assert await second.is_turned_away()
                assert (server.stats.dropped, server.stats.waiting) == (1, 0)
                assert await first.ask(b"2") == b"2"
        (dropped,) = [event for event in told if isinstance(event, Dropped)]
        assert (dropped.connection, round(dropped.seconds, 6) >= 0.03) == (
            2,
            True,
        )  # a difference of two floats
        assert any(isinstance(event, Closed) and event.connection == 2 for event in told)

    run(main())


def test_a_long_row_of_short_visits_is_served_to_the_end(run: Run, path: str) -> None:
    async def greet(stream: afunix.Stream) -> None:
        if not gate.is_set():
            await gate.wait()
        await stream.send(b"hello")

    gate = asyncio.Event()

    async def main() -> None:
        async with afunix.serve(greet, path, max_clients=1, queue_timeout=60.0) as server:
            with ExitStack() as stack:
                row = visitors(path, 400, stack)
                await until(lambda: server.stats.waiting == 399)
                gate.set()
                for visitor in row:
                    assert await visitor.receive_all() == b"hello"

    run(main())


def test_descriptors_come_only_where_they_are_asked_for(run: Run, path: str) -> None:
    received: list[int] = []

    async def take(stream: afunix.Stream) -> None:
        with await stream.receive_fds() as got:
            received.append(len(got.fds))

    async def main() -> None:
        async with afunix.serve(take, path, accept_fds=2):
            with Visitor(path) as visitor, open(os.devnull, "rb") as file:
                socket.send_fds(visitor.sock, [b"x"], [file.fileno()] * 2)
                assert await visitor.receive_all() == b""
        assert received == [2]

    run(main())


def test_a_seqpacket_listener_gives_packet_streams(run: Run, path: str) -> None:
    async def count(stream: afunix.PacketStream) -> None:
        sizes = [len(await stream.receive()) for _ in range(3)]
        await stream.send(repr(sizes).encode())

    async def main() -> None:
        listener = afunix.listen_packets(path)
        async with afunix.serve(count, listener):
            with Visitor(path, socket.SOCK_SEQPACKET) as visitor:
                for packet in (b"one", b"", b"three"):
                    visitor.send(packet)
                assert await visitor.receive() == b"[3, 0, 5]"

    run(main())
