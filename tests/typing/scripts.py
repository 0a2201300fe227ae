"""Without asyncio, under systemd, in tests, on anyio, for type checkers: see `service`. Never run."""

from __future__ import annotations

from typing import assert_type

import anyio

import afunix
from afunix import blocking, events, systemd
from afunix.adapters import anyio as adapter


def script() -> None:
    with afunix.blocking.connect("/run/app.sock", timeout=3, require="root") as stream:
        assert_type(stream, blocking.Stream)
        stream.timeout = 0.5
        stream.send(b"status\n")
        assert_type(stream.receive_until(b"\n"), bytes)
        for line in stream.lines():
            assert_type(line, bytes)
    with blocking.listen("./app.sock") as listener:
        for client in listener:
            assert_type(client, blocking.Stream)
            client.close()


def under_systemd() -> None:
    assert_type(systemd.notify("READY=1", "STATUS=fine"), bool)
    assert_type(systemd.watchdog_interval(), float | None)
    assert_type(systemd.take_stored("state"), list[int])
    with open("state", "rb") as file:
        systemd.store_fds("state", [file, 5], poll=False)
    with systemd.keep_alive() as interval:
        assert_type(interval, float | None)


async def in_a_test() -> None:
    faults = afunix.testing.Faults()
    faults.sending.limit(3)
    one, other = afunix.testing.pair(faults=faults)
    assert_type(one, afunix.Stream)
    assert_type(other, afunix.Stream)
    recorder = afunix.testing.Recorder()
    async with afunix.serve(afunix.Stream.aclose, "./s", observer=recorder):
        assert_type(await recorder.wait_for(events.Accepted), events.Accepted)
    assert_type(recorder.of(events.Closed), list[events.Closed])


async def on_anyio() -> None:
    async with await adapter.connect("/run/app.sock") as stream:
        takes_anyios(stream)
        await stream.send(b"hello")
        assert_type(await stream.receive(), bytes)


def takes_anyios(stream: anyio.abc.SocketStream) -> None: ...
