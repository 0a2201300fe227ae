"""The work of `fd send` in this process: to receivers of our own making."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.program import PATIENCE_S
from tests.servers import datagram_socket, serving
from tests.sharing import can_refuse

from afunix.kernel.channel import Channel
from afunix.kernel.peercred import refuse_descriptors
from afunix.model.address import Address
from afunix.model.errors import (
    AddressError,
    AfunixError,
    BrokenStreamError,
    DescriptorsNotAcceptedError,
    NoSuchSocketError,
    TimedOutError,
)
from afunix.model.offer import Access, Offer
from afunix.tools.fd_send import SendSettings, _discard_answers, send
from afunix.tools.one_peer import Meeting, Watchers


def settings(path: str, *written: str, **options: Any) -> SendSettings:
    where = Meeting(Address.parse(path), True, False)
    return SendSettings(where, tuple(map(Offer.parse, written)), **options)


def receive(connection: socket.socket) -> tuple[bytes, int]:
    """The first message: its bytes, and how many descriptors came with it; they are closed."""
    data, fds, _, _ = socket.recv_fds(connection, 1 << 20, 253)
    for fd in fds:
        os.close(fd)
    return data, len(fds)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_all_go_in_one_message_with_their_names(sock_dir: str, kind: int) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with serving(path, receive, kind) as server:
        assert send(settings(path, "in=0", "2")) == 0
        assert server.result() == (b"in:unknown\n", 2)


def test_a_datagram_carries_them_too(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with datagram_socket(path) as receiver:
        assert send(settings(path, "0", data=b"")) == 0
        assert receive(receiver) == (b"", 1)


def test_as_many_as_a_message_carries_go(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with serving(path, receive) as server:
        send(settings(path, *["0"] * 253, data=b"x"))
        assert server.result() == (b"x", 253)


def test_one_more_is_refused_before_anything_is_opened(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "new")
    with pytest.raises(AddressError, match="254 descriptors are too many"):
        send(settings("./none", *["0"] * 253, path, access=Access.WRITE))
    assert os.listdir(sock_dir) == []


def test_long_data_of_a_stream_goes_whole(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with serving(
        path, lambda c: (receive(c)[1], sum(map(len, iter(lambda: c.recv(1 << 20), b""))))
    ) as server:
        send(settings(path, "0", data=b"x" * 900_000))
        count, rest = server.result()
    assert count == 1
    assert 0 < rest < 900_000


def test_a_stream_carries_none_without_a_byte(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with serving(path, lambda connection: connection.recv(1)), pytest.raises(AddressError, match="one byte"):
        send(settings(path, "0", data=b""))


def test_a_file_is_not_emptied_for_nobody(sock_dir: str) -> None:
    kept = os.path.join(sock_dir, "file")
    with open(kept, "w") as file:
        file.write("old")
    with pytest.raises(NoSuchSocketError):
        send(settings(os.path.join(sock_dir, "x.sock"), kept, access=Access.WRITE))
    assert os.path.getsize(kept) == 3


@pytest.mark.skipif(not can_refuse(), reason="SO_PASSRIGHTS is Linux 6.16")
def test_a_receiver_that_takes_none_is_named(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        refuse_descriptors(listener)
        listener.bind(path)
        listener.listen()
        with pytest.raises(DescriptorsNotAcceptedError, match="takes no descriptors"):
            send(settings(path, "0"))


def test_a_receiver_that_leaves_in_the_middle_is_told_with_how_much_it_took(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with (
        serving(path, receive),
        pytest.raises(BrokenStreamError, match="of 9000000 bytes, the descriptors with them") as caught,
    ):
        send(settings(path, "0", data=b"x" * 9_000_000))
    assert caught.value.bytes_sent > 0


def test_a_receiver_that_has_closed_breaks_it(sock_dir: str) -> None:
    near, far = socket.socketpair()
    far.close()
    with near, pytest.raises(BrokenStreamError):
        send(settings(f"fd:{os.dup(near.fileno())}", "0"))


def test_a_receiver_that_reads_nothing_is_not_waited_for_longer_than_asked(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with datagram_socket(path), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.connect(path)
        with pytest.raises(BlockingIOError):
            while True:
                filler.send(b"x", socket.MSG_DONTWAIT)
        with pytest.raises(TimedOutError, match="has made no room"):
            send(settings(path, "0", timeout=0.05))


def test_a_signal_ends_it_and_the_path_is_removed(sock_dir: str) -> None:
    where = Meeting(Address.parse(os.path.join(sock_dir, "x.sock")), False, False)
    watchers = Watchers(on_ready=lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert send(SendSettings(where, (Offer("unknown", 0),)), watchers) == signal.SIGTERM
    assert os.listdir(sock_dir) == []


def test_what_the_receiver_has_said_is_no_reset_to_it() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far:
        far.send(b"welcome")
        _discard_answers(Channel(near))
        near.close()
        assert far.recv(1) == b""


@pytest.fixture
def fifo(sock_dir: str) -> Iterator[str]:
    """One that nobody has open; at the end whoever waits for it is let go."""
    path = os.path.join(sock_dir, "fifo")
    os.mkfifo(path)
    yield path
    os.close(os.open(path, os.O_RDWR))


def test_a_fifo_that_nobody_opens_is_not_waited_for_longer_than_asked(sock_dir: str, fifo: str) -> None:
    with pytest.raises(TimedOutError, match=r"'.*fifo' could not be opened within 0\.05 s") as caught:
        send(settings(os.path.join(sock_dir, "x.sock"), fifo, timeout=0.05))
    assert caught.value.hint is not None


def test_a_fifo_is_sent_once_its_other_end_is_open(sock_dir: str, fifo: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    writer = threading.Thread(target=lambda: os.close(os.open(fifo, os.O_WRONLY)))
    writer.start()
    with serving(path, receive) as server:
        assert send(settings(path, fifo, timeout=PATIENCE_S)) == 0
        assert server.result() == (b"unknown\n", 1)
    writer.join()


def test_data_that_does_not_end_is_not_waited_for_longer_than_asked(sock_dir: str, fifo: str) -> None:
    writer = os.open(fifo, os.O_RDWR)
    with pytest.raises(TimedOutError, match=r"--data-from '.*fifo' has not come to its end within 0\.05 s"):
        send(settings(os.path.join(sock_dir, "x.sock"), "0", data_from=fifo, timeout=0.05))
    os.close(writer)


def test_data_from_a_fifo_that_nobody_opens_is_not_waited_for_either(sock_dir: str, fifo: str) -> None:
    with pytest.raises(TimedOutError, match=r"could not be opened within 0\.05 s"):
        send(settings(os.path.join(sock_dir, "x.sock"), "0", data_from=fifo, timeout=0.05))


def test_data_of_more_than_a_message_is_refused(sock_dir: str) -> None:
    long = os.path.join(sock_dir, "long")
    with open(long, "wb") as file:
        file.truncate((1 << 20) + 1)
    with pytest.raises(AfunixError, match="has more than 1 MiB"):
        send(settings(os.path.join(sock_dir, "x.sock"), "0", data_from=long))
