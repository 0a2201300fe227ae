"""What a descriptor is, in a word or by its path."""

from __future__ import annotations

import os
import select
import socket
from contextlib import closing

import pytest

from afunix.kernel.descriptor_words import describe


def test_a_file_is_its_path(sock_dir: str) -> None:
    with open(f"{sock_dir}/x", "w") as file:
        assert describe(file.fileno()) == f"{sock_dir}/x"


def test_a_path_that_is_no_text_has_surrogates(sock_dir: str) -> None:
    with open(os.fsencode(sock_dir) + b"/\xff", "w") as file:
        assert describe(file.fileno()) == f"{sock_dir}/\udcff"


def test_memory_is_called_by_its_name() -> None:
    fd = os.memfd_create("pixels")
    try:
        assert describe(fd) == "memfd:pixels"
    finally:
        os.close(fd)


def test_sockets_and_pipes_are_words() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert describe(sock.fileno()) == "socket"
    reading, writing = os.pipe()
    assert describe(reading) == "pipe"
    os.close(reading)
    os.close(writing)


def test_anonymous_inodes_are_called_by_what_they_are() -> None:
    with closing(select.epoll()) as epoll:
        assert describe(epoll.fileno()) == "eventpoll"
    fd = os.pidfd_open(os.getpid())
    assert describe(fd) == "pidfd"
    os.close(fd)


@pytest.mark.parametrize("fd", [-1, 1 << 20])
def test_one_that_is_not_open_is_unknown(fd: int) -> None:
    assert describe(fd) == "unknown"
