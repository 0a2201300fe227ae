"""A message comes whole by one call, however long, and what comes with it is the caller's."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel import whole_messages
from afunix.kernel.ancillary import space_for, take_descriptors
from afunix.kernel.whole_messages import MAX_BYTES, receive_whole
from afunix.model.errors import TruncatedError

Pair = tuple[socket.socket, socket.socket]

_SO_SNDBUFFORCE = 32


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        far.setblocking(False)
        yield near, far


def let_send_as_much_as_there_can_be(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 1 << 29)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 29)


def test_the_longest_message_that_can_be_sent_comes_whole(pair: Pair) -> None:
    near, far = pair
    let_send_as_much_as_there_can_be(far)
    size = MAX_BYTES
    while True:
        try:
            far.send(bytes(size))
            break
        except OSError:  # EMSGSIZE, ENOBUFS
            size = size * 9 // 10
    assert size < MAX_BYTES
    data, _, _, _ = receive_whole(near, 0)
    assert (len(data), data.count(0)) == (size, size)


def test_messages_do_not_leave_traces_in_each_other(pair: Pair) -> None:
    near, far = pair
    for record in (b"a" * 5000, b"b", b"", b"c" * 20):
        far.send(record)
    assert [receive_whole(near, 0)[0] for _ in range(4)] == [b"a" * 5000, b"b", b"", b"c" * 20]


def test_nothing_there_yet_costs_no_memory(pair: Pair) -> None:
    for _ in range(3):
        with pytest.raises(BlockingIOError):
            receive_whole(pair[0], 0)
    assert 1 <= len(whole_messages._spare) <= 2


def test_descriptors_and_the_senders_name_come_with_it(pair: Pair, sock_dir: str) -> None:
    near, far = pair
    far.bind(f"{sock_dir}/far")
    with open(os.devnull) as null:
        socket.send_fds(far, [b"x"], [null.fileno()] * 253)
    data, control, is_cut, name = receive_whole(near, space_for(253))
    fds = take_descriptors(control)
    assert (data, len(fds), is_cut, name) == (b"x", 253, False, f"{sock_dir}/far")
    for fd in fds:
        assert not os.get_inheritable(fd)
        os.close(fd)


def test_a_message_that_the_kernel_cut_is_an_error_and_its_descriptors_are_closed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = pair
    monkeypatch.setattr(whole_messages, "MAX_BYTES", os.sysconf("SC_PAGESIZE"))
    monkeypatch.setattr(whole_messages, "_spare", [])
    with open(os.devnull) as null:
        socket.send_fds(far, [bytes(whole_messages.MAX_BYTES + 1)], [null.fileno()])
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(
        TruncatedError, match=r"more than \d+ bytes arrived, and the kernel cut it \(MSG_TRUNC"
    ):
        receive_whole(near, space_for(1))
    assert len(os.listdir("/proc/self/fd")) == before
