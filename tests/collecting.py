"""A sink on a hand-turned loop, with clients at one end and the output at the other, all in one process.

`Collecting` has a real Collector that writes to a pipe, a file or whatever descriptor it is given, and clients that
are ends of socket pairs. `settle()` turns the loop, and reads what came out of a pipe, until nothing moves any more.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.loops import HandTurned

from afunix.kernel.channel import Channel
from afunix.kernel.output import Output
from afunix.model.framing import LineRules, PieceEnd
from afunix.sinks.collector import Client, Collector
from afunix.sinks.framings import Lines, Raw

ROOMY_BYTES = 4 << 20
"""A client's send buffer: what a test sends at once fits, so that no test has to wait in send(2)."""


def roomy_pair(kind: int = socket.SOCK_STREAM) -> tuple[socket.socket, socket.socket]:
    """The server's end, as the acceptor leaves it, and the client's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOMY_BYTES)
    theirs.setblocking(False)
    if kind == socket.SOCK_STREAM:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    return ours, theirs


class Guest:
    """One client: `sock` is its end, `channel` the server's."""

    def __init__(self, sock: socket.socket, channel: Channel) -> None:
        self.sock = sock
        self.channel = channel

    def say(self, data: bytes | memoryview) -> None:
        """Send all of `data`, which fits in the buffer."""
        sent = self.sock.send(data)
        assert sent == len(data), f"only {sent} of {len(data)} bytes fit"

    def say_what_fits(self, data: bytes | memoryview) -> int:
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0


class Collecting:
    """A Collector, its clients in `guests`, and what it told: `finished`, `failures`, `opened`."""

    def __init__(
        self, loop: HandTurned, out_fd: int, *, collector: type[Collector] = Collector, **options: Any
    ) -> None:
        self.loop = loop
        self.output = Output(out_fd)
        self.finished: list[tuple[int, PieceEnd]] = []
        self.failures: list[OSError] = []
        self.opened: list[tuple[int, int]] = []
        self.guests: list[Guest] = []
        self.collector = collector(
            self.output,
            loop,
            on_finished=lambda channel, end: self.finished.append((channel.connection, end)),
            on_failure=self.failures.append,
            **options,
        )

    def keep_lines(self, **limits: int) -> None:
        """Plain output by L1-L5."""
        rules = LineRules(on_open=self._note_open, **limits)
        self.collector.framing = Lines(rules, self.collector.put)

    def keep_raw(self) -> None:
        self.collector.framing = Raw(self.collector.put_raw)

    def _note_open(self, line: object, size: int) -> None:
        assert isinstance(line, Client)
        self.opened.append((line.channel.connection, size))

    def join(self, kind: int = socket.SOCK_STREAM) -> Guest:
        """A client comes."""
        ours, theirs = roomy_pair(kind)
        guest = Guest(theirs, Channel(ours, len(self.guests) + 1))
        self.guests.append(guest)
        self.collector.on_channel(guest.channel)
        return guest

    def settle(self) -> None:
        """Until nothing moves any more."""
        self.loop.until_still(self._moved)

    def _moved(self) -> object:
        return sum(guest.channel.bytes_received for guest in self.guests), len(self.finished)

    def close(self) -> None:
        self.collector.close()
        self.output.close()
        for guest in self.guests:
            guest.sock.close()
            guest.channel.close()


class Piped(Collecting):
    """One that writes to a pipe; what came out is in `out` once it was read, by `settle()` or `read()`."""

    def __init__(self, loop: HandTurned, reader: int, writer: int, **options: Any) -> None:
        self.out = bytearray()
        self.reads = True
        """Whether `settle` reads."""
        self._reader = reader
        super().__init__(loop, writer, **options)

    def read(self, max_bytes: int = 1 << 20) -> int:
        try:
            data = os.read(self._reader, max_bytes)
        except BlockingIOError:
            return 0
        self.out += data
        return len(data)

    def _moved(self) -> object:
        while self.reads and self.read():
            pass
        return super()._moved(), len(self.out)


@contextmanager
def collecting_to_a_pipe(pipe_bytes: int | None = None, **options: Any) -> Iterator[Piped]:
    """A Piped; `pipe_bytes` makes its pipe small."""
    loop = HandTurned()
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    piped = Piped(loop, reader, writer, **options)
    if pipe_bytes is not None:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, pipe_bytes)
    try:
        yield piped
    finally:
        piped.close()
        loop.close()
        os.close(reader)
        os.close(writer)


@contextmanager
def collecting_to(out_fd: int, **options: Any) -> Iterator[Collecting]:
    """A Collecting that writes to a descriptor of the caller's."""
    loop = HandTurned()
    collecting = Collecting(loop, out_fd, **options)
    try:
        yield collecting
    finally:
        collecting.close()
        loop.close()
