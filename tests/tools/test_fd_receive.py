"""The work of `fd receive` in this process: from senders of our own making, which wait in a thread for the address."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.servers import serving

from afunix.model.address import Address
from afunix.model.errors import AfunixError, BrokenStreamError, TimedOutError, TruncatedError
from afunix.tools.fd_receive import Handover, ReceiveSettings, receive
from afunix.tools.one_peer import Meeting, Watchers

TYPES = {
    "stream": socket.SOCK_STREAM,
    "seqpacket": socket.SOCK_SEQPACKET,
    "dgram": socket.SOCK_DGRAM,
}


@pytest.fixture
def path(sock_dir: str) -> Iterator[str]:
    yield os.path.join(sock_dir, "x.sock")
    assert os.listdir(sock_dir) == []


def received_from(
    act: Callable[[socket.socket], Any], path: str, kind: str = "stream", **options: Any
) -> Handover | int:
    """What comes of a client that does `act` as soon as it can connect."""
    client = socket.socket(socket.AF_UNIX, TYPES[kind])

    def come() -> None:
        client.connect(path)
        act(client)

    with client:
        where = Meeting(Address.parse(path), False, True, socket_type=kind)
        return receive(ReceiveSettings(where, **options), Watchers(on_ready=come))


@pytest.mark.parametrize("kind", TYPES)
def test_descriptors_come_with_names_and_sender(path: str, kind: str) -> None:
    found = received_from(lambda c: socket.send_fds(c, [b"in:out\n"], [0, 1]), path, kind)
    assert isinstance(found, Handover)
    with found.received:
        assert (found.names, found.received.data) == (["in", "out"], b"in:out\n")
        assert (found.peer.pid, found.local, found.peer_address) == (os.getpid(), path, "")
        assert len(found.reports) == 2


def test_what_is_sent_is_what_comes(path: str) -> None:
    read_fd, write_fd = os.pipe()
    found = received_from(lambda c: socket.send_fds(c, [b"x"], [write_fd]), path)
    assert isinstance(found, Handover)
    os.close(write_fd)
    with found.received.fds[0].open("wb") as file:
        file.write(b"through it")
    assert os.read(read_fd, 99) == b"through it"
    os.close(read_fd)


def test_more_than_are_taken_are_all_closed(path: str) -> None:
    with pytest.raises(TruncatedError, match="sent 3 descriptors, more than the 2"):
        received_from(lambda c: socket.send_fds(c, [b"x"], [0, 1, 2]), path, most=2)


@pytest.mark.parametrize("kind", TYPES)
def test_a_message_without_any_is_refused(path: str, kind: str) -> None:
    with pytest.raises(AfunixError, match="sent 5 bytes, 'hello', and no descriptor with it"):
        received_from(lambda c: c.send(b"hello"), path, kind)


@pytest.mark.parametrize("kind", ["stream", "seqpacket"])
def test_an_end_without_a_message_is_a_broken_stream(path: str, kind: str) -> None:
    with pytest.raises(BrokenStreamError, match="without sending a descriptor"):
        received_from(lambda c: c.close(), path, kind)


def test_a_client_that_sends_nothing_is_not_waited_for_longer_than_asked(path: str) -> None:
    with pytest.raises(TimedOutError, match=f"pid {os.getpid()} .* has sent nothing within"):
        received_from(lambda c: None, path, timeout=0.05)


def test_an_empty_record_can_carry_some(path: str) -> None:
    found = received_from(lambda c: socket.send_fds(c, [b""], [0]), path, "seqpacket")
    assert isinstance(found, Handover)
    with found.received:
        assert found.received.data == b""


@pytest.mark.parametrize("kind", ["stream", "seqpacket"])
def test_a_server_can_be_the_sender(sock_dir: str, kind: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with serving(path, lambda c: socket.send_fds(c, [b"x"], [0]), TYPES[kind]):
        found = receive(ReceiveSettings(Meeting(Address.parse(path), True, True)))
        assert isinstance(found, Handover)
        with found.received:
            assert len(found.received.fds) == 1
