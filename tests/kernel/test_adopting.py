"""Sockets that are taken over: each wrong one is refused in its own words and left as it was."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

import pytest

from afunix.kernel import adopting, fallbacks
from afunix.kernel.channel import Channel
from afunix.kernel.discarding_channel import DiscardingChannel
from afunix.kernel.peercred import SO_PASSRIGHTS
from afunix.kernel.traced_channel import TracedChannel
from afunix.model.errors import AddressError, ClosedError, NotASocketError, WrongTypeError

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.fixture
def has_passrights(pair: Pair) -> None:
    if fallbacks.is_forced("passrights"):
        pytest.skip("AFUNIX_FORCE_FALLBACK hides SO_PASSRIGHTS")
    try:
        pair[0].getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS)
    except OSError:
        pytest.skip("this kernel has no SO_PASSRIGHTS (Linux 6.16)")


@pytest.mark.parametrize("is_blocking", [True, False])
@pytest.mark.parametrize("default_timeout", [None, 5.0])
def test_flag_stays_and_the_socket_object_is_empty(
    pair: Pair, is_blocking: bool, default_timeout: float | None
) -> None:
    given, fd = pair[0], pair[0].fileno()
    given.setblocking(is_blocking)
    socket.setdefaulttimeout(default_timeout)
    try:
        sock = adopting.adopt(given)
    finally:
        socket.setdefaulttimeout(None)
    assert (sock.fileno(), given.fileno()) == (fd, -1)
    assert os.get_blocking(fd) is is_blocking
    assert sock.type == socket.SOCK_STREAM
    sock.close()


def test_number_is_taken_as_it_is(pair: Pair) -> None:
    fd = pair[0].detach()
    sock = adopting.adopt(fd)
    assert sock.fileno() == fd
    sock.close()


def test_connection_whose_peer_has_left_is_one(pair: Pair) -> None:
    pair[1].close()
    adopting.adopt(pair[0]).close()


def refused(given: socket.socket, error: type[Exception], words: str) -> None:
    """As a number and as an object: refused, and still what it was."""
    for each in (given, given.fileno()):
        with pytest.raises(error, match=words):
            adopting.adopt(each)
    assert os.get_blocking(given.fileno())
    given.close()


def test_listener_is_refused(sock_dir: str) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"{sock_dir}/s")
    sock.listen()
    refused(sock, AddressError, "listens, expected a connected Unix stream socket")


def test_socket_without_a_peer_is_refused() -> None:
    refused(socket.socket(socket.AF_UNIX), ValueError, r"is not connected \(ENOTCONN\), expected a connected")


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_socket_of_another_type_is_refused(kind: socket.SocketKind) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    with other:
        refused(one, WrongTypeError, r"is a (dgram|seqpacket) socket, expected .* stream .* \(EPROTOTYPE\)")


def test_socket_of_another_family_is_refused() -> None:
    refused(socket.socket(socket.AF_INET), AddressError, "is a socket of the family AF_INET, expected")


def test_another_kind_of_file_is_refused_and_stays_open() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(NotASocketError, match=r"is no socket \(ENOTSOCK\), expected"):
        adopting.adopt(fd)
    os.close(fd)


def test_what_is_closed_is_refused(pair: Pair) -> None:
    fd = os.dup(0)
    os.close(fd)
    with pytest.raises(ClosedError, match=r"is not open \(EBADF\)"):
        adopting.adopt(fd)
    pair[0].close()
    with pytest.raises(ClosedError, match="closed or detached"):
        adopting.adopt(pair[0])


@pytest.mark.parametrize("given", ["/run/s", None, True, 3.0])
def test_what_is_neither_socket_nor_number_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match="expected a socket or the number of a descriptor, found"):
        adopting.adopt(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [-1, 2**31, 10**30])
def test_number_that_no_descriptor_has_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="is no descriptor"):
        adopting.adopt(number)


def test_encrypted_socket_is_refused(pair: Pair) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with context.wrap_socket(pair[0], do_handshake_on_connect=False) as encrypted:
        with pytest.raises(TypeError, match="expected a plain socket, found SSLSocket"):
            adopting.adopt(encrypted)
        assert encrypted.fileno() >= 0


def test_pair_that_cannot_be_prepared_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError(1, "forbidden")

    monkeypatch.setattr(adopting, "prepare", fail)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError) as caught:
        adopting.open_pair()
    assert len(os.listdir("/proc/self/fd")) == before, caught


@pytest.mark.usefixtures("has_passrights")
def test_pair_that_asks_for_no_descriptors_refuses_them() -> None:
    for takes, option, kind in ((False, 0, Channel), (True, 1, DiscardingChannel)):
        for sock in adopting.open_pair(takes_descriptors=takes):
            channel = adopting.channel_for(sock, int(takes), is_ours=True)
            assert type(channel) is kind
            assert sock.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == option
            channel.close()


@pytest.mark.usefixtures("has_passrights")
def test_socket_that_others_may_hold_is_left_as_it_is(pair: Pair) -> None:
    assert type(adopting.channel_for(pair[0], is_ours=False)) is DiscardingChannel
    assert pair[0].getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == 1
    pair[0].setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
    assert type(adopting.channel_for(pair[0], is_ours=False)) is Channel
    assert type(adopting.channel_for(pair[0], 3, is_ours=False)) is DiscardingChannel
    assert pair[0].getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == 1


def test_where_the_kernel_cannot_refuse_descriptors_they_are_discarded(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallbacks, "is_forced", lambda name: name == "passrights")
    for is_ours in (True, False):
        assert type(adopting.channel_for(pair[0], is_ours=is_ours)) is DiscardingChannel


def test_observer_gets_a_channel_that_tells(pair: Pair) -> None:
    channel = adopting.channel_for(pair[0], is_ours=False, observer=lambda event: None)
    assert type(channel) is TracedChannel
    assert os.get_blocking(channel.fd)
