"""Clients, descriptors and errors, for type checkers: see `service`. Never run."""

from __future__ import annotations

import asyncio
import socket
from typing import IO, Any, assert_type

import afunix


async def ask() -> bytes:
    async with await afunix.connect(
        "/run/app.sock", timeout=3, wait=afunix.Retry(10), require="user:app"
    ) as stream:
        await stream.send(b"ping\n")
        async with asyncio.timeout(1):
            return await stream.receive()


async def pass_descriptors() -> None:
    one, other = afunix.pair(accept_fds=2)
    async with one, other:
        with open("file", "rb") as file:
            await one.send_fds(b"take", [file, file.fileno(), socket.socket()])
        with await other.receive_fds(max_fds=2) as received:
            assert_type(received, afunix.Received)
            assert_type(received.data, bytes)
            for fd in received.fds:
                assert_type(fd, afunix.Fd)
            first, second, third = received.fds
            assert_type(first.take(), int)
            assert_type(second.open("w"), IO[Any])
            assert_type(third.socket(), socket.socket)


async def move_on(stream: afunix.Stream) -> afunix.Stream:
    sock, unread = stream.detach()
    return afunix.attach(sock, unread=unread)


async def borrow_asyncios_streams(stream: afunix.Stream) -> None:
    reader, writer = await afunix.as_asyncio(stream)
    assert_type(reader, asyncio.StreamReader)
    assert_type(writer, asyncio.StreamWriter)


def errors_are_what_people_catch(error: Exception) -> str | None:
    try:
        raise error
    except FileNotFoundError:
        return None
    except (afunix.BrokenStreamError, afunix.TimedOutError) as broken:
        assert_type(broken.bytes_sent, int)
        return broken.hint
    except afunix.AfunixError as other:
        assert_type(other.errno, int | None)
        return other.message


os_errors: list[type[OSError]] = [
    afunix.NoSuchSocketError,
    afunix.NobodyListensError,
    afunix.DeniedError,
    afunix.TimedOutError,
    afunix.AddressInUseError,
]


def for_other_libraries() -> None:
    with afunix.bind_socket("/run/web.sock", mode=0o660) as listener:
        assert_type(listener.address, afunix.Address)
        plain: socket.socket = listener
        plain.accept()
    assert_type(afunix.connect_socket("/run/web.sock", type="seqpacket", timeout=2), socket.socket)
