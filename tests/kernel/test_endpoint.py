"""What a socket's user sees of it: names, state, counters, and what the kernel's errors mean."""

from __future__ import annotations

import errno
import os
import socket
import traceback
from collections.abc import Iterator

import pytest

from afunix.kernel.channel import Channel
from afunix.kernel.endpoint import Endpoint
from afunix.kernel.wrapping import as_socket
from afunix.model.address import Address, AddressKind
from afunix.model.errors import (
    BrokenStreamError,
    BusyError,
    ClosedError,
    DescriptorsNotAcceptedError,
    TimedOutError,
)
from afunix.model.stream_state import State, Stats

Pair = tuple[Endpoint, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    endpoint = Endpoint(Channel(near))
    with far:
        yield endpoint, far
    endpoint._channel.close()


def test_names_are_asked_of_the_kernel_and_stay_after_the_close(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(f"{sock_dir}/s")
        listener.listen()
        client.bind(b"\0afunix-test-endpoint-%d" % os.getpid())
        client.connect(f"{sock_dir}/s")
        endpoint = Endpoint(Channel(listener.accept()[0]))
        endpoint._channel.close()
    assert endpoint.local_address == Address.pathname(f"{sock_dir}/s")
    assert endpoint.peer_address.kind is AddressKind.ABSTRACT
    assert endpoint.peer_address is endpoint.peer_address


def test_names_that_are_known_are_not_asked_for() -> None:
    near, far = socket.socketpair()
    with far:
        endpoint = Endpoint(Channel(near), Address.pathname("/there"), b"\0name")
        assert endpoint.local_address.name == b"/there"
        assert endpoint.peer_address == Address.abstract("name")
        endpoint._channel.close()


def test_a_socket_without_a_peer_is_not_taken() -> None:
    with socket.socket(socket.AF_UNIX) as alone, pytest.raises(OSError, match="not connected"):
        Endpoint(Channel(alone))


def test_the_state_follows_what_was_seen(pair: Pair) -> None:
    endpoint, _ = pair
    channel = endpoint._channel
    seen = [endpoint.state]
    channel.receive_ended = True
    seen.append(endpoint.state)
    channel.end_sending()
    seen.append(endpoint.state)
    channel.receive_ended = False
    seen.append(endpoint.state)
    endpoint._cut_at(1, 2)
    seen.append(endpoint.state)
    channel.close()
    seen.append(endpoint.state)
    assert seen == [
        State.OPEN,
        State.RECEIVE_ENDED,
        State.ENDED,
        State.SEND_ENDED,
        State.BROKEN,
        State.CLOSED,
    ]


def test_counters_are_those_of_the_channel(pair: Pair) -> None:
    endpoint, far = pair
    far.send(b"abcd")
    endpoint._channel.try_receive(3)
    endpoint._channel.unread(b"c")
    endpoint._channel.try_send(b"12345")
    assert (endpoint.stats, endpoint._bytes_moved) == (Stats(3, 5, 2, 0), 8)
    endpoint._channel.close()
    assert endpoint.stats == Stats(3, 5, 0, 0)


def test_one_at_a_time_in_each_direction(pair: Pair) -> None:
    endpoint, _ = pair
    endpoint._begin_receiving()
    endpoint._begin_sending()
    with pytest.raises(BusyError, match="another task is receiving"):
        endpoint._begin_receiving()
    with pytest.raises(BusyError, match="another task is sending"):
        endpoint._begin_sending()
    with pytest.raises(BusyError, match="is using this stream"):
        endpoint._detach_socket()


def test_a_closed_one_says_so_before_anything_else(pair: Pair) -> None:
    endpoint, _ = pair
    endpoint._channel.close()
    for begin in (
        endpoint._begin_receiving,
        endpoint._begin_sending,
        endpoint.fileno,
        endpoint._detach_socket,
    ):
        with pytest.raises(ClosedError, match="this stream is closed"):
            begin()


def test_who_closed_it_can_leave_a_reason() -> None:
    class Served(Endpoint):
        def close(self) -> None:
            self._channel.close()

    near, far = socket.socketpair()
    with far:
        endpoint = Served(Channel(near))
        reason = TimedOutError("idle")
        endpoint._end_by(reason)
        endpoint._end_by(ClosedError("too late"))
        assert endpoint._fate is reason
        for _ in range(3):
            with pytest.raises(TimedOutError, match="idle") as told:
                endpoint.fileno()
        assert len(traceback.extract_tb(told.value.__traceback__)) == 3  # not one more each time


def test_a_detached_socket_is_the_callers_with_the_bytes_that_were_put_back(pair: Pair) -> None:
    endpoint, far = pair
    endpoint._channel.unread(b"back")
    sock, unread = endpoint._detach_socket()
    with sock:
        far.send(b"x")
        assert (unread, sock.recv(1), endpoint.state) == (b"back", b"x", State.DETACHED)
    assert endpoint.peer.pid == os.getpid()
    with pytest.raises(ClosedError, match="was detached"):
        endpoint.fileno()


def test_a_default_timeout_changes_no_flag_of_a_detached_socket() -> None:
    near, far = socket.socketpair()
    socket.setdefaulttimeout(5.0)
    try:
        with far, Endpoint(Channel(as_socket(near.detach())))._detach_socket()[0] as sock:
            assert os.get_blocking(sock.fileno())
    finally:
        socket.setdefaulttimeout(None)


def test_a_bare_socket_is_detached_as_one_of_the_standard_library() -> None:
    near, far = socket.socketpair()
    with far:
        bare = socket.SocketType(socket.AF_UNIX, socket.SOCK_STREAM, 0, near.detach())
        os.set_blocking(bare.fileno(), False)
        sock, _ = Endpoint(Channel(bare))._detach_socket()
        with sock:
            assert isinstance(sock, socket.socket)
            assert (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_STREAM)


@pytest.mark.parametrize("default_timeout", [None, 5.0])
@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize("was_blocking", [False, True])
def test_one_that_is_ours_is_detached_blocking_and_any_other_as_it_was(
    default_timeout: float | None, is_ours: bool, was_blocking: bool
) -> None:
    near, far = socket.socketpair()
    os.set_blocking(near.fileno(), was_blocking)
    socket.setdefaulttimeout(default_timeout)
    try:
        channel = Channel(as_socket(near.detach()))
        channel.is_ours = is_ours
        sock, _ = Endpoint(channel)._detach_socket()
    finally:
        socket.setdefaulttimeout(None)
    with far, sock:
        blocks = is_ours or was_blocking
        assert (os.get_blocking(sock.fileno()), sock.gettimeout()) == (blocks, None if blocks else 0.0)


def test_whom_the_peer_hears_no_more_has_ended_sending(pair: Pair) -> None:
    endpoint, far = pair
    far.close()
    for _ in range(2):
        with pytest.raises(BrokenPipeError) as caught:
            endpoint._channel.try_send(b"x")
        assert isinstance(endpoint._send_failed(caught.value, 0), BrokenStreamError)
        assert endpoint.state is State.SEND_ENDED
    assert endpoint._channel.try_receive(1) == b""
    assert endpoint.state is State.ENDED


def test_a_peer_that_takes_no_descriptors_is_told_from_other_errors(pair: Pair) -> None:
    endpoint, _ = pair
    refused = endpoint._send_failed(PermissionError(errno.EPERM, "no"), 0)
    assert isinstance(refused, DescriptorsNotAcceptedError)
    assert (refused.errno, refused.hint) == (errno.EPERM, "it has to ask for them: accept_fds")


def test_receiving_can_be_ended_by_whoever_serves(pair: Pair) -> None:
    endpoint, far = pair
    far.send(b"queued")
    endpoint.end_receiving()
    with pytest.raises(BrokenPipeError):
        far.send(b"more")
    assert endpoint._channel.try_receive(10) == b"queued"
