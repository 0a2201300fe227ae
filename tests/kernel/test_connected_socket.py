"""A connected socket from its peer's name to its close, whatever moves through it."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel.connected_socket import ConnectedSocket

Pair = tuple[ConnectedSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    ours = ConnectedSocket(near)
    with far:
        yield ours, far
    ours.close()


def test_half_close_is_told_once_and_the_other_half_lives(pair: Pair) -> None:
    ours, far = pair
    ours.end_sending()
    ours.end_sending()
    assert far.recv(1) == b""
    far.send(b"still")
    assert ours.socket.recv(10) == b"still"


def test_half_closes_after_the_peer_left_are_harmless(pair: Pair) -> None:
    ours, far = pair
    far.close()
    ours.end_sending()
    ours.end_receiving()


def test_after_the_end_of_receiving_the_queue_can_still_be_read(pair: Pair) -> None:
    ours, far = pair
    far.send(b"queued")
    ours.end_receiving()
    with pytest.raises(BrokenPipeError):
        far.send(b"more")
    assert (ours.socket.recv(10), ours.socket.recv(10)) == (b"queued", b"")


def test_discarding_what_is_queued_wakes_a_peer_that_waits_for_room(pair: Pair) -> None:
    ours, far = pair
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            far.send(b"x" * 4096)
    waiting = select.poll()
    waiting.register(far, select.POLLOUT)
    ours.end_receiving()
    assert not waiting.poll(0)
    ours.discard_queued()
    ours.discard_queued()
    assert waiting.poll(0)


@pytest.mark.parametrize("is_his", [True, False])
def test_connection_leads_to_the_listener_that_it_was_made_to(sock_dir: str, is_his: bool) -> None:
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        for name, listener in (("1", one), ("2", other)):
            listener.bind(f"{sock_dir}/{name}")
            listener.listen()
        os.symlink("1", f"{sock_dir}/link")
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{sock_dir}/link")
        ours = ConnectedSocket(client)
        assert ours.leads_to(one if is_his else other) is is_his
        ours.close()


def test_close_is_idempotent_and_peer_stays_known(pair: Pair) -> None:
    ours, _ = pair
    assert ours.peer.uid == os.geteuid()
    ours.close()
    ours.close()
    assert ours.is_closed
    assert ours.peer.pid == os.getpid()


def test_credentials_can_be_asked_for_ahead_of_the_close(pair: Pair) -> None:
    ours, _ = pair
    ours.note_peer()
    ours.close()
    ours.note_peer()
    assert ours.peer.pid == os.getpid()


def test_bytes_that_go_another_way_are_counted(pair: Pair) -> None:
    ours, _ = pair
    ours.note_received(3)
    ours.note_sent(5)
    assert (ours.bytes_received, ours.bytes_sent) == (3, 5)
