"""Which pumps a connection gets, and by which way bytes go then: the fast one only where it tells no lies."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from afunix.kernel.channel import Channel
from afunix.kernel.input import Input
from afunix.kernel.output import Output
from afunix.kernel.pump import Pump, Wants
from afunix.tools.directions import Directions


class Ends:
    """A channel whose other end is `far`, a pipe as STDIN that `typing` fills, and one as STDOUT that `shown` reads."""

    def __init__(self, stack: ExitStack, kind: int) -> None:
        near, self.far = (stack.enter_context(end) for end in socket.socketpair(socket.AF_UNIX, kind))
        self.far.setblocking(False)
        near.setblocking(False)
        self.channel = Channel(near)
        stdin, typing = os.pipe()
        shown, stdout = os.pipe()
        self.typing = stack.enter_context(open(typing, "wb", buffering=0))
        self.shown = stack.enter_context(open(shown, "rb", buffering=0))
        self.source, self.output = Input(stdin), Output(stdout)
        for end in (self.source, self.output):
            stack.callback(os.close, end.fd)
            stack.callback(end.close)

    def pumps(self, **options: Any) -> tuple[Pump, Pump | None]:
        return Directions(self.source, self.output, **options).byte_pumps(self.channel)

    def far_says(self) -> bytes | None:
        """What has arrived at the other end; b"" for the end, None for nothing."""
        try:
            return self.far.recv(1 << 20)
        except BlockingIOError:
            return None


@pytest.fixture
def ends() -> Iterator[Ends]:
    with ExitStack() as stack:
        yield Ends(stack, socket.SOCK_STREAM)


@pytest.fixture
def packets() -> Iterator[Ends]:
    with ExitStack() as stack:
        yield Ends(stack, socket.SOCK_SEQPACKET)


def way(pump: Any) -> str:
    """By which mover bulk goes, or that it is copied."""
    return "copied" if pump._mover is None else type(pump._mover).__name__


def close(*pumps: Any) -> None:
    for pump in pumps:
        pump.close()


@pytest.mark.parametrize(
    ("options", "ways"),
    [
        ({}, ("SplicedSocket", "SplicedPipe")),
        ({"is_traced": True}, ("copied", "copied")),
        ({"escapes": True}, ("copied", "SplicedPipe")),
        ({"is_borrowed": True}, ("SplicedSocket", "copied")),
    ],
)
def test_pages_are_moved_only_where_nobody_has_to_see_the_bytes(
    ends: Ends, options: dict[str, Any], ways: tuple[str, str]
) -> None:
    inward, outward = ends.pumps(**options)
    assert (way(inward), way(outward)) == ways
    close(inward, outward)


def test_without_a_source_nothing_is_sent(ends: Ends) -> None:
    inward, outward = Directions(None, ends.output).byte_pumps(ends.channel)
    assert outward is None
    inward.close()


def test_without_an_output_what_comes_is_discarded_and_counted(ends: Ends) -> None:
    inward, outward = Directions(ends.source, None).byte_pumps(ends.channel)
    ends.far.send(b"nobody wants this")
    assert inward.step() is Wants.SOURCE
    assert (inward.moved, inward.held) == (17, 0)
    close(inward, outward)


def test_a_terminal_is_shown_escaped_text(ends: Ends) -> None:
    inward, outward = ends.pumps(escapes=True)
    ends.far.send(b"\x1b[2J\n")
    inward.step()
    assert ends.shown.read(100) == b"^[[2J\n"
    close(inward, outward)


@pytest.mark.parametrize(("half_closes", "then"), [(True, b""), (False, None)])
def test_the_end_of_the_source_is_passed_on_if_asked(
    ends: Ends, half_closes: bool, then: bytes | None
) -> None:
    inward, outward = ends.pumps(half_closes=half_closes)
    assert outward is not None
    ends.typing.close()
    assert outward.step() is Wants.NOTHING
    assert ends.far_says() == then
    close(inward, outward)


def test_each_line_is_a_record_and_each_record_a_line(packets: Ends) -> None:
    inward, outward = Directions(packets.source, packets.output).record_pumps(packets.channel, has_end=True)
    assert outward is not None
    packets.typing.write(b"one\ntwo\n")
    packets.far.send(b"answer")
    outward.step()
    inward.step()
    assert [packets.far_says(), packets.far_says(), packets.far_says()] == [b"one", b"two", None]
    assert packets.shown.read(100) == b"answer\n"
    close(inward, outward)


@pytest.mark.parametrize(
    ("has_end", "half_closes", "then"), [(True, True, b""), (True, False, None), (False, True, None)]
)
def test_the_end_of_records_is_passed_on_if_the_socket_knows_one(
    packets: Ends, has_end: bool, half_closes: bool, then: bytes | None
) -> None:
    directions = Directions(packets.source, packets.output, half_closes=half_closes)
    inward, outward = directions.record_pumps(packets.channel, has_end=has_end)
    assert outward is not None
    packets.typing.close()
    assert outward.step() is Wants.NOTHING
    assert packets.far_says() == then
    close(inward, outward)
