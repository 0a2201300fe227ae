"""What an observer is told of one client, from socket(2) to unlink(2): a true path through a socket's life."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.streams.event_loops import LOOPS, run_in
from tests.streams.visitors import Visitor, echo, until

import afunix
from afunix import events
from afunix.events import (
    Accepted,
    Bound,
    BytesRead,
    BytesWritten,
    Closed,
    Connected,
    Created,
    Direction,
    Event,
    HalfClosed,
    HandlerFailed,
    Listening,
    Stopping,
    Unlinked,
)
from afunix.model.address import Address
from afunix.model.lifecycle import Call, State, advance

Run = Callable[[Coroutine[Any, Any, None]], None]

CALLS = {
    Created: Call.SOCKET,
    Bound: Call.BIND,
    Listening: Call.LISTEN,
    Connected: Call.CONNECT,
    BytesRead: Call.READ,
    BytesWritten: Call.WRITE,
    HalfClosed: Call.SHUTDOWN,
    Closed: Call.CLOSE,
}


def walk(told: list[Event]) -> dict[int, State]:
    """Where each descriptor's socket stands after these events; out of order is an error."""
    states: dict[int, State] = {}
    for event in told:
        if isinstance(event, Accepted):
            states[event.listener] = advance(states[event.listener], Call.ACCEPT)
            states[event.fd] = advance(State.ABSENT, Call.ACCEPT)
        elif type(event) in CALLS:
            before = states.get(event.fd, State.ABSENT)
            before = State.ABSENT if before is State.CLOSED else before  # the number is used again
            states[event.fd] = advance(before, CALLS[type(event)])
    return states


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return lambda main: run_in(request.param, main)


def test_the_life_of_a_server_and_one_client_as_it_is_told(run: Run, sock_dir: str) -> None:
    told: list[Event] = []
    path = f"{sock_dir}/s"

    async def main() -> None:
        async with afunix.serve(echo, path, backlog=5, observer=told.append) as server:
            listener = server.listeners[0].fd
            with Visitor(path) as visitor:
                assert await visitor.ask(b"hello") == b"hello"
            await until(lambda: not server.stats.live)
        accepted = next(event for event in told if isinstance(event, Accepted))
        fd, address = accepted.fd, Address.pathname(path)
        assert accepted.peer.pid == os.getpid()
        assert told == [
            Created(listener, "SOCK_STREAM"),
            Bound(listener, address),
            Listening(listener, address, 5),
            accepted,
            BytesRead(fd, 5),
            BytesWritten(fd, 5),
            BytesRead(fd, 0),
            Closed(fd, 1, 5, 5),
            HalfClosed(listener, Direction.RECEIVING),
            Unlinked(listener, address, True),
            Closed(listener),
        ]

    run(main())
    assert set(walk(told).values()) == {State.CLOSED}


@pytest.mark.parametrize("ending", ["drain", "abort", "failure", "idle", "dropped"])
def test_every_ending_is_a_path_through_the_table(run: Run, sock_dir: str, ending: str) -> None:
    told: list[Event] = []
    path = f"{sock_dir}/s"
    options: dict[str, dict[str, Any]] = {
        "idle": {"idle_timeout": 0.02},
        "dropped": {"max_clients": 1, "queue_timeout": 0.02},
    }

    async def handle(stream: afunix.Stream) -> None:
        async for chunk in stream:
            await stream.send(chunk)
            if chunk == b"fail":
                raise ZeroDivisionError

    async def main() -> None:
        async with afunix.serve(handle, path, observer=told.append, **options.get(ending, {})) as server:
            with Visitor(path) as one, Visitor(path):
                await one.ask(b"fail" if ending == "failure" else b"hello")
                await until(lambda: len([event for event in told if isinstance(event, Accepted)]) == 2)
                if ending == "drain":
                    await server.drain(0.01)
                elif ending == "abort":
                    server.abort()
                elif ending == "idle":
                    await until(lambda: not server.stats.live)
                elif ending == "dropped":
                    await until(lambda: server.stats.dropped)

    run(main())
    assert set(walk(told).values()) == {State.CLOSED}
    assert any(isinstance(event, HandlerFailed) for event in told) is (ending == "failure")


def test_both_sides_are_told_alike(run: Run, sock_dir: str) -> None:
    told: list[Event] = []
    path = f"{sock_dir}/s"

    async def main() -> None:
        async with (
            afunix.serve(echo, path),
            await afunix.connect(path, observer=told.append) as stream,
        ):
            await stream.send(b"hello")
            assert await stream.receive_exactly(5) == b"hello"
            await stream.send_eof()

    run(main())
    assert [type(event) for event in told] == [
        *(Created, Connected, BytesWritten, BytesRead, HalfClosed, Closed)
    ]
    assert set(walk(told).values()) == {State.CLOSED}


def test_events_are_values(sock_dir: str) -> None:
    assert Closed(3, 1) == Closed(3, 1)
    assert hash(Stopping(-1, "SIGTERM")) == hash(Stopping(-1, "SIGTERM"))
    with pytest.raises(AttributeError):
        Closed(3).fd = 4  # type: ignore[misc]


def test_what_is_promised_is_there_and_sorted() -> None:
    assert events.__all__ == sorted(events.__all__, key=str.casefold)
    for name in events.__all__:
        assert getattr(events, name)
