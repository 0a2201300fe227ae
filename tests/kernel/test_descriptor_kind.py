"""What a descriptor is: one kind for each way of reading and writing."""

from __future__ import annotations

import os
import pty
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from afunix.kernel.descriptor_kind import DescriptorKind

Owned = Callable[[int], int]


@pytest.fixture
def owned() -> Iterator[Owned]:
    """Takes over descriptors, which are closed at the end of the test."""
    with ExitStack() as stack:

        def own(fd: int) -> int:
            stack.callback(os.close, fd)
            return fd

        yield own


def test_both_ends_of_a_pipe_are_a_pipe(owned: Owned) -> None:
    assert {DescriptorKind.of(owned(fd)) for fd in os.pipe()} == {DescriptorKind.PIPE}


def test_fifo_is_a_pipe(sock_dir: str, owned: Owned) -> None:
    os.mkfifo(f"{sock_dir}/fifo")
    fifo = owned(os.open(f"{sock_dir}/fifo", os.O_RDWR))
    assert DescriptorKind.of(fifo) is DescriptorKind.PIPE


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_socket_of_any_family_is_a_socket(family: int) -> None:
    with socket.socket(family) as sock:
        assert DescriptorKind.of(sock.fileno()) is DescriptorKind.SOCKET


def test_terminal_is_told_from_other_devices(owned: Owned) -> None:
    assert {DescriptorKind.of(owned(fd)) for fd in pty.openpty()} == {DescriptorKind.TERMINAL}
    null = owned(os.open("/dev/null", os.O_RDWR))
    assert DescriptorKind.of(null) is DescriptorKind.DEVICE


def test_what_is_none_of_these_is_taken_for_a_file(sock_dir: str, owned: Owned) -> None:
    descriptors = [
        os.open(f"{sock_dir}/file", os.O_RDWR | os.O_CREAT),
        os.open(sock_dir, os.O_RDONLY),
        os.eventfd(0),
    ]
    assert {DescriptorKind.of(owned(fd)) for fd in descriptors} == {DescriptorKind.FILE}


def test_descriptor_that_is_not_open_is_an_error() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        DescriptorKind.of(-1)
