"""Clients made with Python's own sockets, for servers to be tested against: what they see is what the kernel says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import afunix


class Visitor:
    """One connected client; it waits with the loop in which the server runs."""

    def __init__(self, path: str | bytes, kind: int = socket.SOCK_STREAM) -> None:
        self.sock = socket.socket(socket.AF_UNIX, kind)
        self.sock.setblocking(False)
        try:
            self.sock.connect(path)
        except BaseException:
            self.sock.close()
            raise

    def send(self, data: bytes) -> None:
        assert self.sock.send(data) == len(data)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, max_bytes)

    async def receive_all(self) -> bytes:
        pieces = []
        while piece := await self.receive():
            pieces.append(piece)
        return b"".join(pieces)

    async def ask(self, data: bytes) -> bytes:
        self.send(data)
        return await self.receive()

    async def is_turned_away(self) -> bool:
        """Closed by the server, with our bytes read or not?"""
        try:
            return await self.receive() == b""
        except ConnectionResetError:
            return True

    def has_answer(self) -> bool:
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def visitors(path: str | bytes, count: int, stack: ExitStack) -> list[Visitor]:
    return [stack.enter_context(Visitor(path)) for _ in range(count)]


async def until(is_met: Callable[[], Any]) -> None:
    """Let the loop run until `is_met()`; the test's own time limit is the limit."""
    while not is_met():
        await asyncio.sleep(0.001)


async def echo(stream: afunix.Stream) -> None:
    """The usual handler: it ends when its client does."""
    async for chunk in stream:
        await stream.send(chunk)


class Reports:
    """What the loop's exception handler is told."""

    def __init__(self) -> None:
        self.contexts: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.contexts.append(context))

    @property
    def errors(self) -> list[BaseException]:
        return [context["exception"] for context in self.contexts]

    @property
    def messages(self) -> list[str]:
        return [context["message"] for context in self.contexts]
