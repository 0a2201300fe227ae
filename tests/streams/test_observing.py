"""Who is told in a program on asyncio, and that no operation suffers from an observer that fails."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.streams.event_loops import run_in

import afunix
from afunix.events import Event
from afunix.streams.log_observer import LOGGER

MEGABYTE = bytes(1_000_000)


def failing_on(*names: str) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        if not names or type(event).__name__ in names:
            raise LookupError(type(event).__name__)

    return observe


def complaints() -> list[str]:
    """What the running loop is told from now on."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: told.append(str(context["exception"]).strip("'"))
    )
    return told


def test_bytes_are_received_though_the_observer_fails() -> None:
    async def main() -> None:
        told = complaints()
        near, far = socket.socketpair()
        with far:
            far.send(b"kept")
            async with afunix.attach(near, observer=failing_on("BytesRead")) as stream:
                assert await stream.receive() == b"kept"
        assert told == ["BytesRead"]

    run_in("asyncio", main())


def test_a_message_goes_whole_though_the_observer_fails() -> None:
    async def main() -> None:
        told = complaints()
        near, far = socket.socketpair()
        async with afunix.attach(far) as other, afunix.attach(near, observer=failing_on()) as stream:
            sending = asyncio.create_task(stream.send(MEGABYTE))
            assert await other.receive_exactly(len(MEGABYTE)) == MEGABYTE
            await sending
            assert stream.state is afunix.State.OPEN
        assert set(told) == {"BytesWritten", "Closed"}

    run_in("asyncio", main())


def test_connections_are_made_and_accepted_though_the_observer_fails(sock_dir: str) -> None:
    async def main() -> None:
        told = complaints()
        with afunix.listen(f"{sock_dir}/s", observer=failing_on()) as listener:
            client = await afunix.connect(f"{sock_dir}/s", observer=failing_on())
            async with client, await listener.accept() as served:
                await client.send(b"ping")
                assert await served.receive() == b"ping"
        assert {"Created", "Bound", "Listening", "Connected", "Accepted", "Unlinked", "Closed"} <= set(told)

    run_in("asyncio", main())


def test_packets_and_datagrams_come_though_the_observer_fails(sock_dir: str) -> None:
    async def main() -> None:
        told = complaints()
        with afunix.listen_packets(f"{sock_dir}/p", observer=failing_on()) as listener:
            client = await afunix.connect_packets(f"{sock_dir}/p", observer=failing_on())
            async with client, await listener.accept() as served:
                await client.send(b"ping")
                assert await served.receive() == b"ping"
        async with afunix.open_datagrams(observer=failing_on()) as one:
            await one.send(b"to me", one.local_address)
            assert (await one.receive()).data == b"to me"
        assert {"BytesRead", "BytesWritten"} <= set(told)

    run_in("asyncio", main())


def test_without_a_loop_pythons_hook_is_told(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    afunix.listen(f"{sock_dir}/s", observer=failing_on()).close()
    assert [each.exc_value.args[0] for each in told][:3] == ["Created", "Bound", "Listening"]
    assert not os.path.exists(f"{sock_dir}/s")


def words(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().partition("(")[0] for record in caplog.records if record.name == LOGGER]


def test_what_nobody_observes_is_logged(sock_dir: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with afunix.listen(f"{sock_dir}/s") as listener:
            async with await afunix.connect(f"{sock_dir}/s") as client, await listener.accept():
                await client.send(b"ping")

    caplog.set_level(logging.DEBUG, LOGGER)
    run_in("asyncio", main())
    assert words(caplog)[:3] == ["Created", "Bound", "Listening"]
    assert {"Connected", "Accepted", "BytesWritten", "Closed", "Unlinked"} <= set(words(caplog))


def test_while_the_logger_is_off_nothing_is_told(sock_dir: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with await afunix.connect(f"{sock_dir}/s") as client:
            assert client._observer is None

    caplog.set_level(logging.INFO, LOGGER)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{sock_dir}/s")
        listener.listen()
        run_in("asyncio", main())
    assert not words(caplog)
