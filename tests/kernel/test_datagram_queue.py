"""Unread datagrams count against who sent them, and the table tells whether there are any."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel import fallbacks
from afunix.kernel.datagram_queue import has_read_all, inode_of, send_buffer, unread_of_all
from afunix.model.address import Address


@pytest.fixture
def reader(sock_dir: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"{sock_dir}/reader")
        yield sock


@pytest.fixture
def writer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        yield sock


def test_what_is_unread_takes_its_senders_buffer(reader: socket.socket, writer: socket.socket) -> None:
    assert unread_of_all(writer) == 0 < send_buffer(writer)
    writer.sendto(bytes(1000), reader.getsockname())
    assert 1000 < unread_of_all(writer) < 5000
    reader.recv(1000)
    assert unread_of_all(writer) == 0


def test_a_queue_is_seen_to_be_empty_or_not(reader: socket.socket, writer: socket.socket) -> None:
    inode = inode_of(Address.parse(reader.getsockname()))
    assert inode is not None and has_read_all(inode) is True
    writer.sendto(b"x", reader.getsockname())
    assert has_read_all(inode) is False
    reader.close()
    assert has_read_all(inode) is None


def test_nobody_can_tell_without_sock_diag(reader: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    name = Address.parse(reader.getsockname())
    inode = inode_of(name)
    monkeypatch.setattr(fallbacks, "_forced", lambda: frozenset({"sock_diag"}))
    assert inode is not None and has_read_all(inode) is None
    assert inode_of(name) is None


def test_of_two_with_one_name_nobody_can_tell_which_it_is(
    reader: socket.socket, writer: socket.socket, sock_dir: str
) -> None:
    os.unlink(f"{sock_dir}/reader")
    writer.bind(f"{sock_dir}/reader")
    assert inode_of(Address.parse(reader.getsockname())) is None
