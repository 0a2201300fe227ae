"""The client's end: what an attempt answers, that a full backlog is waited for, and what is inherited."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from afunix.kernel import dial
from afunix.kernel.fallbacks import is_forced
from afunix.kernel.peercred import SO_PASSRIGHTS
from afunix.model.address import Address, AddressKind
from afunix.model.errors import AddressError
from afunix.model.events import Bound, Closed, Created, Event


@pytest.fixture
def address(sock_dir: str) -> Address:
    return Address.pathname(f"{sock_dir}/s")


def listening(address: Address, backlog: int = 5) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(address.name)
    sock.listen(backlog)
    return sock


@pytest.fixture
def full(address: Address) -> Iterator[socket.socket]:
    """A listener whose backlog has no room."""
    with listening(address, backlog=0) as listener, socket.socket(socket.AF_UNIX) as first:
        first.connect(address.name)
        yield listener


def test_new_socket_is_nonblocking_close_on_exec_and_takes_no_descriptors() -> None:
    sock = dial.open_socket("stream")
    assert not os.get_blocking(sock.fileno())
    assert not os.get_inheritable(sock.fileno())
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE) == 1
    try:
        if is_forced("passrights"):
            pytest.skip("AFUNIX_FORCE_FALLBACK hides SO_PASSRIGHTS")
        assert sock.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == 0
    except OSError:
        pytest.skip("this kernel has no SO_PASSRIGHTS (Linux 6.16)")
    finally:
        sock.close()


@pytest.mark.skipif(is_forced("passrights"), reason="AFUNIX_FORCE_FALLBACK hides SO_PASSRIGHTS")
def test_new_socket_takes_descriptors_if_it_is_to() -> None:
    sock = dial.open_socket("stream", takes_descriptors=True)
    try:
        assert sock.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == 1
    except OSError:
        pytest.skip("this kernel has no SO_PASSRIGHTS (Linux 6.16)")
    finally:
        sock.close()


def test_datagram_socket_has_a_name_of_the_kernels_choice() -> None:
    seen: list[Event] = []
    sock = dial.open_socket("dgram", seen.append)
    assert sock.getsockname().startswith(b"\0")
    dial.close_socket(sock, seen.append)
    fd = seen[0].fd
    assert seen == [Created(fd, "SOCK_DGRAM"), Bound(fd, Address(AddressKind.UNNAMED)), Closed(fd)]


def test_socket_that_cannot_be_opened_whole_is_closed() -> None:
    def fail(event: Event) -> None:
        raise ZeroDivisionError

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ZeroDivisionError) as caught:
        dial.open_socket("dgram", fail)
    assert len(os.listdir("/proc/self/fd")) == before, caught


def test_attempt_answers_zero_or_the_errno(address: Address) -> None:
    sock = dial.open_socket("stream")
    assert dial.try_connect(sock, address) == errno.ENOENT
    with listening(address):
        assert dial.try_connect(sock, address) == 0
        assert dial.has_peer(sock)
    sock.close()


def test_missing_directory_of_a_long_path_is_an_answer_too(sock_dir: str) -> None:
    sock = dial.open_socket("stream")
    assert dial.try_connect(sock, Address.pathname(f"{sock_dir}/{'d' * 120}/s")) == errno.ENOENT
    sock.close()


@pytest.mark.usefixtures("full")
def test_full_backlog_is_eagain_at_once_or_after_the_time_given(address: Address) -> None:
    sock = dial.open_socket("stream")
    assert dial.try_connect(sock, address) == errno.EAGAIN
    began = time.monotonic()
    assert dial.connect_within(sock, address, 0.05) == errno.EAGAIN
    assert time.monotonic() - began >= 0.05
    assert not os.get_blocking(sock.fileno())
    assert not dial.has_peer(sock)
    sock.close()


def test_room_in_the_backlog_connects_the_same_socket(address: Address, full: socket.socket) -> None:
    sock = dial.open_socket("stream")
    assert dial.connect_within(sock, address, 0.01) == errno.EAGAIN
    full.accept()[0].close()
    assert dial.connect_within(sock, address, 5) == 0
    assert dial.has_peer(sock)
    sock.close()


@pytest.mark.usefixtures("full")
def test_signal_while_the_backlog_is_full_is_not_taken_for_a_connection(address: Address) -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    sock = dial.open_socket("stream")
    try:
        assert dial.connect_within(sock, address, 5) in (errno.EINTR, errno.EAGAIN)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sock.close()


def test_less_than_a_microsecond_is_not_for_ever() -> None:
    assert dial._timeval(1e-9) == dial._TIMEVAL.pack(0, 1)
    assert dial._timeval(1.5) == dial._TIMEVAL.pack(1, 500_000)
    assert dial._timeval(0) == dial._TIMEVAL.pack(0, 0)


def test_inherited_socket_must_have_its_peer() -> None:
    near, far = socket.socketpair()
    with far:
        taken = dial.take_connected(Address.inherited(near.detach()))
        far.send(b"x")
        assert taken.recv(1) == b"x"
        taken.close()
    with socket.socket(socket.AF_UNIX) as alone:
        with pytest.raises(AddressError, match=r"is not connected \(ENOTCONN\)"):
            dial.take_connected(Address.inherited(alone.fileno()))
        assert alone.fileno() >= 0


def test_listener_is_no_connected_socket(address: Address) -> None:
    with listening(address) as listener, pytest.raises(AddressError, match="listens"):
        dial.take_connected(Address.inherited(listener.fileno()))


def test_descriptor_is_recognised_under_another_number() -> None:
    near, far = socket.socketpair()
    with near, far, near.dup() as again:
        assert dial.is_own_descriptor(Address.inherited(near.fileno()), (again.fileno(),))
        assert not dial.is_own_descriptor(Address.inherited(near.fileno()), (far.fileno(),))
        assert not dial.is_own_descriptor(Address.abstract("x"), (near.fileno(),))
        assert not dial.is_own_descriptor(Address.inherited(99_999), (near.fileno(),))
