"""Whatever the program's default timeout: a wrapped descriptor keeps its flags, and nobody waits who must not."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from socket import SOCK_NONBLOCK, SOCK_STREAM

import pytest

from afunix.kernel.wrapping import as_plain_socket, as_socket, borrowed

both = pytest.mark.parametrize("is_blocking", [True, False])


@pytest.fixture(params=[None, 5.0])
def default_timeout(request: pytest.FixtureRequest) -> Iterator[float | None]:
    socket.setdefaulttimeout(request.param)
    yield request.param
    socket.setdefaulttimeout(None)


@pytest.fixture
def fd(default_timeout: float | None) -> Iterator[int]:
    """A blocking one, as from a parent; its peer stays silent."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.setblocking(True)
    with near, far:
        yield near.fileno()


@both
def test_owned_one_keeps_its_flag_and_never_waits(fd: int, is_blocking: bool) -> None:
    os.set_blocking(fd, is_blocking)
    sock = as_socket(os.dup(fd), socket.SOCK_SEQPACKET)
    assert (os.get_blocking(fd), sock.type) == (is_blocking, socket.SOCK_SEQPACKET)
    with pytest.raises(BlockingIOError):
        sock.recv(1, socket.MSG_DONTWAIT)
    sock.close()


@both
def test_borrowed_one_stays_open_and_keeps_its_flag(fd: int, is_blocking: bool) -> None:
    os.set_blocking(fd, is_blocking)
    with borrowed(fd) as sock:
        assert sock.fileno() == fd
    assert os.get_blocking(fd) is is_blocking


@both
def test_plain_one_waits_as_the_descriptor_does_which_stays_as_it_is(
    fd: int, default_timeout: float | None, is_blocking: bool
) -> None:
    os.set_blocking(fd, is_blocking)
    given = as_socket(os.dup(fd), socket.SOCK_SEQPACKET)
    with as_plain_socket(given) as sock:
        assert (type(sock), sock.type, given.fileno()) == (socket.socket, socket.SOCK_SEQPACKET, -1)
        assert os.get_blocking(fd) is is_blocking
        assert sock.gettimeout() == (None if is_blocking else 0.0)
        assert as_plain_socket(sock) is sock


@both
def test_the_flag_of_one_that_is_not_ours_is_not_even_written_back(
    is_blocking: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(*args: object) -> None:
        raise AssertionError("O_NONBLOCK is written")

    near, far = socket.socketpair()
    os.set_blocking(near.fileno(), is_blocking)
    monkeypatch.setattr(socket.socket, "setblocking", written)
    unasked = socket.socket(type=SOCK_STREAM | SOCK_NONBLOCK, fileno=near.detach())
    with far, as_plain_socket(unasked) as sock, as_plain_socket(as_socket(os.dup(sock.fileno()))) as second:
        assert sock.gettimeout() == second.gettimeout() == (None if is_blocking else 0.0)


@both
def test_plain_one_of_ours_blocks(fd: int, default_timeout: float | None, is_blocking: bool) -> None:
    os.set_blocking(fd, is_blocking)
    with as_plain_socket(as_socket(os.dup(fd)), is_ours=True) as sock:
        assert (os.get_blocking(fd), sock.gettimeout()) == (True, None)


def test_what_is_no_socket_is_an_error_and_stays_open() -> None:
    with open(os.devnull) as null:
        with pytest.raises(OSError) as caught:
            as_socket(null.fileno()).detach()
        assert caught.value.errno == errno.ENOTSOCK
        os.fstat(null.fileno())
