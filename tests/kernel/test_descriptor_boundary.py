"""How many bytes come before descriptors, for every way in which messages can follow one another."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel.descriptor_boundary import Looks

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with one, other:
        yield one, other


def plain_bytes(sock: socket.socket, max_bytes: int = 65536) -> int | None:
    return Looks(max_bytes).plain_bytes(sock)


def send_descriptor(sock: socket.socket, size: int = 5) -> None:
    socket.send_fds(sock, [b"F" * size], [sock.fileno()])


def test_an_empty_queue_has_nothing_yet_and_an_ended_one_nothing_more(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        plain_bytes(pair[1])
    pair[0].close()
    assert plain_bytes(pair[1]) is None


def test_without_descriptors_every_byte_is_plain(pair: Pair) -> None:
    pair[0].send(b"abc")
    pair[0].send(b"de")
    assert plain_bytes(pair[1]) == 5
    assert plain_bytes(pair[1], 2) == 2


@pytest.mark.parametrize("size", [1, 2, 5, 30_000])
def test_descriptors_at_the_front_have_nothing_before_them(pair: Pair, size: int) -> None:
    send_descriptor(pair[0], size)
    pair[0].send(b"after")
    assert plain_bytes(pair[1]) == 0


@pytest.mark.parametrize("size", [1, 2, 5, 30_000])
@pytest.mark.parametrize("before", [[1], [1, 1], [7, 1000, 3], [20_000, 20_000]])
def test_the_bytes_before_them_are_counted(pair: Pair, before: list[int], size: int) -> None:
    for length in before:
        pair[0].send(b"p" * length)
    send_descriptor(pair[0], size)
    send_descriptor(pair[0])
    assert plain_bytes(pair[1]) == sum(before)


def test_part_of_a_message_that_was_received_has_lost_its_descriptors(pair: Pair) -> None:
    send_descriptor(pair[0], 10)
    send_descriptor(pair[0], 10)
    _, fds, _, _ = socket.recv_fds(pair[1], 4, 1)
    for fd in fds:
        os.close(fd)
    assert plain_bytes(pair[1]) == 6


def test_beyond_a_look_there_is_never_more_than_is_plain(pair: Pair) -> None:
    pair[0].send(b"p" * 1000)
    send_descriptor(pair[0], 1000)
    assert plain_bytes(pair[1], 100) in (0, 100)  # 0: what is received then is of the first message alone
    assert plain_bytes(pair[1], 1000) in (0, 1000)
    assert plain_bytes(pair[1], 1001) == 1000


def test_a_look_opens_nothing_and_takes_nothing(pair: Pair) -> None:
    pair[0].send(b"abc")
    send_descriptor(pair[0])
    plain_bytes(pair[1])
    before = len(os.listdir("/proc/self/fd"))
    plain_bytes(pair[1])
    assert len(os.listdir("/proc/self/fd")) == before
    assert pair[1].recv(3) == b"abc"
