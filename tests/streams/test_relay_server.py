"""The life of a relay: who gets no connection and why, and a stop that loses nothing and leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
from tests.streams.event_loops import LOOPS, run_in
from tests.streams.relays import MANY_BYTES, between, hash_of, send_all
from tests.streams.visitors import Reports, Visitor, echo, until

import afunix
from afunix.events import (
    Accepted,
    AcceptPaused,
    Closed,
    Connected,
    Event,
    HandlerFailed,
)
from afunix.streams import hub
from afunix.streams.acceptor import Acceptor

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    yield lambda main: run_in(request.param, main)
    assert not hub._HUBS


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/front"


@pytest.fixture
def upstream(sock_dir: str) -> str:
    return f"{sock_dir}/s"


# No connection


def test_why_there_is_no_connection_is_told_to_the_observer(run: Run, path: str, upstream: str) -> None:
    told: list[Event] = []

    async def main() -> None:
        async with afunix.relay(path, upstream, observer=told.append) as relay:
            with Visitor(path) as visitor:
                assert await visitor.is_turned_away()
            await until(lambda: not relay.stats.live)
            assert relay.stats.failed == 1

    run(main())
    (failed,) = (event for event in told if isinstance(event, HandlerFailed))
    assert isinstance(failed.error, afunix.NoSuchSocketError)


def test_without_an_observer_the_loop_is_told(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        reports = Reports()
        async with afunix.relay(path, upstream):
            with Visitor(path) as visitor:
                assert await visitor.is_turned_away()
        (error,) = reports.errors
        assert isinstance(error, afunix.NoSuchSocketError)
        assert error.__traceback__ is None
        assert reports.messages == [f"a client of '{path}' was closed, which is relayed to '{upstream}'"]

    run(main())


def test_an_upstream_that_comes_and_goes_is_had_again(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        Reports()
        async with afunix.relay(path, upstream):
            for _ in range(2):
                async with afunix.serve(echo, upstream):
                    with Visitor(path) as visitor:
                        assert await visitor.ask(b"hello") == b"hello"
                with Visitor(path) as visitor:
                    assert await visitor.is_turned_away()

    run(main())


def test_an_upstream_that_is_not_there_yet_is_waited_for(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with afunix.relay(path, upstream, wait=30) as relay:
            with Visitor(path) as visitor:
                visitor.send(b"hello")
                await until(lambda: relay.stats.live)
                async with afunix.serve(echo, upstream):
                    assert await visitor.receive() == b"hello"
                    visitor.close()
                    await until(lambda: not relay.stats.live)

    run(main())


def test_waiting_ends(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        reports = Reports()
        async with afunix.relay(path, upstream, wait=0.02):
            with Visitor(path) as visitor:
                assert await visitor.is_turned_away()
        assert [type(error) for error in reports.errors] == [afunix.TimedOutError]

    run(main())


def test_who_leaves_while_it_waits_is_forgotten(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        reports = Reports()
        async with afunix.relay(path, upstream, wait=30) as relay:
            Visitor(path).close()
            await until(lambda: relay.stats.accepted and not relay.stats.live)
            assert reports.errors == []

    run(main())


def test_relays_that_lead_to_each_other_close_their_clients(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        reports = Reports()
        async with afunix.relay(path, upstream) as one, afunix.relay(upstream, path) as other:
            for _ in range(3):
                with Visitor(path) as visitor:
                    assert await visitor.is_turned_away()
            await until(lambda: not one.stats.live and not other.stats.live)
            assert (one.stats.accepted, other.stats.accepted) == (6, 3)
        assert len(reports.errors) == 3
        assert all("through another one: a circle" in str(error) for error in reports.errors)

    run(main())


def test_a_circle_of_more_relays_than_a_name_holds_ends_too(run: Run, path: str) -> None:
    async def main() -> None:
        reports = Reports()
        places = [f"{path}{number}" for number in range(9)]
        async with AsyncExitStack() as opened:
            relays = [
                await opened.enter_async_context(afunix.relay(one, other))
                for one, other in zip(places, places[1:] + places[:1], strict=True)
            ]
            with Visitor(places[0]) as visitor:
                assert await visitor.is_turned_away()
            await until(lambda: not any(relay.stats.live for relay in relays))
            assert [relay.stats.accepted for relay in relays] == [1] * 9
        (error,) = reports.errors
        assert "came through 8 relays already" in str(error)

    run(main())


def test_a_relay_that_reaches_itself_by_another_name_says_so(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        reports = Reports()
        os.symlink(path, upstream)
        async with afunix.relay(path, upstream) as relay:
            with Visitor(path) as visitor:
                assert await visitor.is_turned_away()
            await until(lambda: relay.stats.accepted == 2 and not relay.stats.live)
        (error,) = reports.errors
        assert isinstance(error, afunix.AddressError)
        assert "leads back to this relay" in str(error)

    run(main())


def test_short_of_descriptors_for_the_connection_a_client_waits(run: Run, path: str, upstream: str) -> None:
    told: list[Event] = []

    def accepted() -> int:
        return sum(isinstance(event, Accepted) for event in told)

    async def main() -> None:
        async with between(path, upstream, observer=told.append) as relay:
            with ExitStack() as stack:
                first, late, later = (
                    stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) for _ in range(3)
                )
                hoard = stack.enter_context(ExitStack())
                limits = resource.getrlimit(resource.RLIMIT_NOFILE)
                try:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (later.fileno() + 30, limits[1]))
                    with contextlib.suppress(OSError):
                        while True:
                            last = hoard.enter_context(socket.socket(socket.AF_UNIX))
                    last.close()  # room for the client, not for its connection
                    for sock in (first, late, later):
                        sock.setblocking(False)
                        sock.connect(path)
                        sock.send(b"hello")
                    await until(lambda: any(isinstance(event, AcceptPaused) for event in told))
                    assert (accepted(), relay.stats.failed) == (1, 0)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                for sock in (first, late, later):
                    assert await asyncio.get_running_loop().sock_recv(sock, 10) == b"hello"
            await until(lambda: not relay.stats.live)

    run(main())
    assert accepted() == 3
    assert not any(isinstance(event, HandlerFailed) for event in told)


# The stop


def test_what_was_sent_before_the_stop_arrives_and_is_answered(run: Run, path: str, upstream: str) -> None:
    async def count(stream: afunix.Stream) -> None:
        total, _ = await hash_of(stream)
        await stream.send(b"%d" % total)

    async def main() -> None:
        async with afunix.serve(count, upstream):
            async with afunix.relay(path, upstream) as relay:
                client = await afunix.connect(path)
                await client.send(bytes(100_000))
                await until(lambda: relay.stats.live)
            assert not os.path.exists(path)
            assert await client.receive_exactly(6) == b"100000"
            await client.aclose()

    run(main())


def test_sigterm_lets_conversations_drain(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with between(path, upstream) as relay:
            stopping = asyncio.create_task(relay.run_until_signal(drain=30))
            async with await afunix.connect(path) as client:
                await client.send(b"x")
                assert await client.receive_exactly(1) == b"x"
                os.kill(os.getpid(), signal.SIGTERM)
                await until(lambda: not os.path.exists(path))
                await client.send(b"still there")
                assert await client.receive_exactly(11) == b"still there"
            assert await stopping is signal.SIGTERM

    run(main())


@pytest.mark.parametrize("ending", ["abort", "cancel", "patience"])
def test_nothing_is_left_of_those_that_would_not_end(run: Run, path: str, upstream: str, ending: str) -> None:
    told: list[Event] = []

    async def never(stream: afunix.Stream) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        server = afunix.serve(never, upstream)
        await server.start()
        async with contextlib.AsyncExitStack() as stack:
            relay = afunix.relay(path, upstream, observer=told.append)
            await relay.start()
            client = await stack.enter_async_context(await afunix.connect(path))
            sending = asyncio.create_task(client.send(bytes(MANY_BYTES)))
            await until(lambda: relay.stats.bytes_received > 100_000)
            if ending == "abort":
                relay.abort()
            elif ending == "patience":
                await relay.aclose(patience=0.02)
            else:
                closing = asyncio.create_task(relay.aclose())
                await asyncio.sleep(0.01)
                closing.cancel()
                await asyncio.gather(closing, return_exceptions=True)
            with pytest.raises(afunix.BrokenStreamError):
                await sending
            await until(lambda: not relay.stats.live)
        server.abort()

    run(main())
    opened = [event for event in told if isinstance(event, (Accepted, Connected))]
    closed = [event for event in told if isinstance(event, Closed) and event.connection]
    assert len(opened) == len(closed) == 2


def test_an_abort_gives_up_those_that_wait_for_a_connection(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with afunix.relay(path, upstream, wait=30) as relay:
            with Visitor(path) as visitor:
                await until(lambda: relay.stats.live)
                relay.abort()
                assert await visitor.is_turned_away()

    run(main())


def test_a_child_that_aborts_concerns_nobody_else(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with between(path, upstream) as relay:
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
                pid = os.fork()
                if not pid:
                    status = 1
                    try:
                        before = len(os.listdir("/proc/self/fd"))
                        relay.abort()
                        status = 0 if len(os.listdir("/proc/self/fd")) <= before - 4 else 2
                    finally:
                        os._exit(status)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
                assert await visitor.ask(b"y") == b"y"
            with Visitor(path) as other:
                assert await other.ask(b"z") == b"z"

    run(main())


def test_a_start_that_fails_leaves_nothing(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with afunix.listen(path):
            with pytest.raises(afunix.AddressInUseError):
                await afunix.relay(path, upstream).start()

    run(main())


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_start_that_fails_late_leaves_no_descriptor(
    run: Run, path: str, upstream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(acceptor: object) -> None:
        raise OSError(errno.EMFILE, "no more")

    async def main() -> None:
        monkeypatch.setattr(Acceptor, "start", fail)
        relay = afunix.relay(path, upstream)
        before = open_descriptors()
        with pytest.raises(OSError, match="no more") as caught:
            await relay.start()
        assert open_descriptors() == before
        del caught

    run(main())
    assert not os.path.exists(path)


def test_one_that_has_ended_has_no_descriptor(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, upstream) as server:
            before = open_descriptors()
            async with afunix.relay(path, upstream) as relay, await afunix.connect(path) as client:
                _, (count, _) = await asyncio.gather(send_all(client, bytes(MANY_BYTES)), hash_of(client))
                assert count == MANY_BYTES
            await until(lambda: not server.stats.live)
            assert open_descriptors() == before
            assert not relay.stats.live

    run(main())


def test_it_starts_once(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with between(path, upstream) as relay:
            with pytest.raises(afunix.ClosedError):
                await relay.start()
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"

    run(main())
