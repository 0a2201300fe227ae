"""A service as its author writes it, for type checkers: every name has a type that both of them know. Never run."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import assert_type

import afunix
from afunix import events


async def handle(stream: afunix.Stream) -> None:
    async for line in stream.lines(max_bytes=64 * 1024):
        assert_type(line, bytes)
        await stream.send(line)
    async for chunk in stream:
        await stream.send_many([chunk, bytearray(chunk), memoryview(chunk)])


async def converse(stream: afunix.Stream) -> None:
    assert_type(await stream.receive(), bytes)
    assert_type(await stream.receive_into(bytearray(10)), int)
    assert_type(await stream.receive_exactly(4), bytes)
    assert_type(await stream.receive_until(b"\r\n", max_bytes=100), bytes)
    stream.unread(b"again")
    with open("file", "w+b") as file:
        assert_type(await stream.send_file(file, offset=5, count=10), int)
        assert_type(await stream.receive_file(file.fileno()), int)
    await stream.send_eof()
    await stream.wait_hangup()
    await stream.aclose()


def look(stream: afunix.Stream) -> tuple[int, int, int | None]:
    assert_type(stream.state, afunix.State)
    assert_type(stream.stats.bytes_sent, int)
    assert_type(stream.peer, afunix.PeerCredentials)
    assert_type(stream.peer_groups, tuple[int, ...])
    assert_type(stream.peer_label, str | None)
    assert_type(stream.local_address, afunix.Address)
    os.close(stream.open_pidfd())
    stream.send_timeout = 2.5
    return stream.peer.uid, stream.peer.gid, stream.peer.pid


def tell(event: events.Event) -> None:
    match event:
        case events.Accepted(connection=number, peer=peer):
            assert_type(number, int)
            assert_type(peer, afunix.PeerCredentials)
        case events.Closed() | events.Refused():
            assert_type(event.fd, int)
        case _:
            pass


async def main() -> None:
    rules = afunix.Rules("allow user:app", "allow root")
    async with afunix.serve(
        handle,
        "/run/app.sock",
        b"/run/old.sock",
        Path("/run/other.sock"),
        afunix.Address.parse("@app"),
        afunix.listen("@more", backlog=10),
        *afunix.systemd.listeners("app"),
        mode=0o660,
        group="app",
        rules=rules,
        max_clients=500,
        max_per_user=50,
        queue_timeout=1.5,
        idle_timeout=60,
        send_timeout=10,
        accept_fds=1,
        observer=tell,
    ) as server:
        afunix.systemd.notify("READY=1")
        server.pause()
        server.resume()
        assert_type(server.stats.live, int)
        assert_type(server.addresses, tuple[afunix.Address, ...])
        assert_type(await server.drain(timeout=5), bool)
        assert_type(await server.run_until_signal(signal.SIGHUP, drain=15.0), signal.Signals)


async def stand_in_between() -> None:
    relay = afunix.relay(
        "/run/front.sock",
        Path("/run/app.sock"),
        socket_type="seqpacket",
        rules=afunix.Rules("allow group:www"),
        max_per_user=5,
        wait=afunix.Retry(within=10),
        timeout=20,
        require="user:app",
        pass_fds=True,
        idle_timeout=60,
        observer=tell,
    )
    async with relay as server:
        assert_type(server, afunix.Server)
        assert_type(server.stats.bytes_sent, int)
    afunix.relay(afunix.systemd.listeners("app"), "@app")
    afunix.relay(["@front", Path("/run/front.sock")], "@app")


async def accept_by_hand() -> None:
    async with afunix.listen("/run/app.sock", mode=0o600, owner=0) as listener:
        assert_type(await listener.accept(), afunix.Stream)
        async for stream in listener:
            assert_type(stream, afunix.Stream)
            stream.close()


asyncio.run(main())
