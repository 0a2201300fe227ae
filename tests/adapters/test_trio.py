"""trio's own conformance suite for streams, run on ours."""

from __future__ import annotations

import os
import socket
from functools import partial

import pytest
import trio
import trio.testing

import afunix.adapters.trio
from afunix.adapters.anyio import Stream, pair
from afunix.adapters.trio import TrioStream


async def make(*, clogged: bool = False) -> tuple[TrioStream, TrioStream]:
    one, other = pair()
    if clogged:
        fill(one)
        fill(other)
    return TrioStream(one), TrioStream(other)


def fill(stream: Stream) -> None:
    with socket.socket(fileno=os.dup(stream.fileno())) as sock:
        while True:
            try:
                sock.send(b"x" * 65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return


def test_it_is_a_stream_that_can_be_half_closed_as_trio_means_it() -> None:
    trio.run(trio.testing.check_half_closeable_stream, make, partial(make, clogged=True))


def test_it_is_a_stream_of_two_ways_as_trio_means_it() -> None:
    trio.run(trio.testing.check_two_way_stream, make, partial(make, clogged=True))


def test_its_errors_are_trios_from_anyios() -> None:
    async def send_after_close() -> None:
        one, other = await make()
        async with one:
            await other.aclose()
            with pytest.raises(trio.BrokenResourceError, match="EPIPE") as raised:
                await one.send_all(b"x")
            assert raised.value.__cause__ is not None

    trio.run(send_after_close)


def test_it_promises_one_name() -> None:
    assert afunix.adapters.trio.__all__ == ["TrioStream"]
