"""Connecting with a deadline: the type is found out, what may pass is waited for, the obstacle is named."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.program import environment
from tests.servers import datagram_socket, echo, read_all, serving

import afunix
from afunix.blocking import dialling
from afunix.model import events
from afunix.model.address import Address
from afunix.model.errors import (
    AddressError,
    NoSuchSocketError,
    PeerMismatchError,
    TimedOutError,
    WrongTypeError,
)
from afunix.model.lifecycle import Call

KINDS = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET, "dgram": socket.SOCK_DGRAM}


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@pytest.fixture
def full(path: str) -> Iterator[socket.socket]:
    """A listener whose backlog has no room."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        yield listener


def test_channel_is_connected_and_belongs_to_the_caller(path: str) -> None:
    with serving(path, echo):
        channel = dialling.connect(path)
        channel.try_send(b"x")
        channel.end_sending()
        while (answer := channel.try_receive(10)) is None:
            dialling.pause(0.001)
        assert answer == b"x"
        channel.close()


@pytest.mark.parametrize("word", KINDS)
def test_type_is_found_out(path: str, word: str) -> None:
    with socket.socket(socket.AF_UNIX, KINDS[word]) as server:
        server.bind(path)
        if word != "dgram":
            server.listen()
        channel = dialling.connect(path)
        assert channel.socket.type == KINDS[word]
        channel.close()


@pytest.mark.parametrize("wanted", KINDS)
@pytest.mark.parametrize("real", KINDS)
def test_type_that_was_asked_for_must_be_the_servers(path: str, wanted: str, real: str) -> None:
    with socket.socket(socket.AF_UNIX, KINDS[real]) as server:
        server.bind(path)
        if real != "dgram":
            server.listen()
        if wanted == real:
            dialling.connect(path, socket_type=wanted).close()
        else:
            with pytest.raises(WrongTypeError, match=f"is a {real} socket, and {wanted} was asked for"):
                dialling.connect(path, socket_type=wanted)


def test_without_wait_an_absent_server_is_an_error_at_once(path: str) -> None:
    with pytest.raises(NoSuchSocketError):
        dialling.connect(path, timeout=60)


def test_wait_ends_when_the_server_comes(path: str) -> None:
    seen = threading.Event()

    def observe(event: events.Event) -> None:
        if isinstance(event, events.CallFailed) and event.errno == errno.ENOENT:
            seen.set()

    def come_later() -> None:
        assert seen.wait(10)
        with serving(path, read_all) as server:
            server.result()

    thread = threading.Thread(target=come_later)
    thread.start()
    dialling.connect(path, wait=20, observer=observe).close()
    thread.join()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: stale(path), "nobody listens"),
    ],
)
def test_wait_in_vain_names_what_stood_in_the_way_last(
    path: str, make: Callable[[str], None], words: str
) -> None:
    make(path)
    with pytest.raises(TimedOutError, match=rf"no connection within 0\.02 s: .*{words}"):
        dialling.connect(path, wait=0.02)


def stale(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()


def test_what_cannot_pass_is_not_waited_for(path: str) -> None:
    os.symlink(path, path)
    with pytest.raises(NoSuchSocketError, match="ELOOP"):
        dialling.connect(path, wait=60)


@pytest.mark.usefixtures("full")
def test_full_backlog_ends_no_earlier_than_the_deadline(path: str) -> None:
    began = time.monotonic()
    with pytest.raises(TimedOutError, match=r"no connection within 0\.3 s: the backlog of .* is full"):
        dialling.connect(path, timeout=0.3)
    assert time.monotonic() - began >= 0.3


def test_full_backlog_is_waited_for(path: str, full: socket.socket) -> None:
    accepted = []
    timer = threading.Timer(0.05, lambda: accepted.append(full.accept()[0]))
    timer.start()
    channel = dialling.connect(path)
    assert channel.socket.getpeername() == path
    channel.close()
    timer.join()
    accepted[0].close()


def test_peer_that_is_somebody_else_gets_nothing(path: str) -> None:
    with serving(path, read_all) as server:
        with pytest.raises(PeerMismatchError, match=f"is served by uid {os.geteuid()}"):
            dialling.connect(path, require_uid=os.geteuid() + 1)
        assert server.result() == b""
        dialling.connect(path, require_uid=os.geteuid()).close()


def test_peer_that_cannot_be_known_is_not_the_one_required(path: str) -> None:
    with datagram_socket(path), pytest.raises(PeerMismatchError, match="does not tell who it is"):
        dialling.connect(path, require_uid=os.geteuid())


def test_inherited_socket_keeps_its_flags_and_its_type_is_checked() -> None:
    near, far = socket.socketpair()
    with far:
        fd = near.detach()
        with pytest.raises(WrongTypeError, match="is a stream socket, and dgram was asked for"):
            dialling.connect(f"fd:{fd}", socket_type="dgram")
        channel = dialling.connect(f"fd:{fd}")
        assert os.get_blocking(fd)
        channel.close()


def test_address_that_is_none_is_refused() -> None:
    with pytest.raises(AddressError):
        dialling.connect("http:x")


def test_observer_is_told_every_attempt(path: str) -> None:
    seen: list[events.Event] = []
    address = Address.pathname(path)
    with serving(path, read_all, socket.SOCK_SEQPACKET):
        channel = dialling.connect(path, observer=seen.append)
        fd = channel.fd
        dialling.close(channel, seen.append)
        dialling.close(channel, seen.append)
    assert seen == [
        events.Created(fd, "SOCK_STREAM"),
        events.CallFailed(fd, Call.CONNECT, errno.EPROTOTYPE, address),
        events.Closed(fd),
        events.Created(fd, "SOCK_SEQPACKET"),
        events.Connected(fd, address),
        events.Closed(fd),
    ]


# connect_socket


def test_plain_socket_blocks_has_no_timeout_and_is_the_callers(path: str) -> None:
    with serving(path, echo):
        with afunix.connect_socket(path, timeout=20) as sock:
            assert (type(sock), sock.gettimeout()) == (socket.socket, None)
            assert os.get_blocking(sock.fileno())
            assert not os.get_inheritable(sock.fileno())
            sock.sendall(b"ping")
            assert sock.recv(5) == b"ping"
        assert sock.fileno() == -1


@pytest.mark.parametrize("word", KINDS)
def test_plain_socket_is_of_the_type_asked_for(path: str, word: str) -> None:
    with socket.socket(socket.AF_UNIX, KINDS[word]) as server:
        server.bind(path)
        if word != "dgram":
            server.listen()
        with afunix.connect_socket(path.encode(), type=word) as sock:
            assert sock.type == KINDS[word]
        other = "stream" if word != "stream" else "seqpacket"
        with pytest.raises(WrongTypeError, match=f"is a {word} socket") as error:
            afunix.connect_socket(path, type=other)
        assert "--type" not in str(error.value.hint)


def test_type_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(AddressError, match="'tcp' is no type of Unix socket"):
        afunix.connect_socket(path, type="tcp")


@pytest.mark.usefixtures("full")
def test_plain_socket_waits_for_a_full_backlog_until_the_deadline(path: str) -> None:
    with pytest.raises(TimedOutError, match="is full"):
        afunix.connect_socket(path, timeout=0.05)


def test_plain_socket_waits_for_a_server_as_a_retry_says(path: str) -> None:
    with pytest.raises(TimedOutError, match="does not exist"):
        afunix.connect_socket(path, wait=afunix.Retry(0.02, first_pause=0.001))


def test_plain_socket_is_only_to_whom_it_must_be(path: str) -> None:
    with serving(path, read_all) as server:
        with pytest.raises(PeerMismatchError):
            afunix.connect_socket(path, require=f"user:{os.geteuid() + 1}")
        assert server.result() == b""
        afunix.connect_socket(path, require="me").close()


def test_http_client_of_the_standard_library_speaks_over_it(path: str) -> None:
    def answer(connection: socket.socket) -> bytes:
        asked = connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        return asked.partition(b"\r\n")[0]

    with serving(path, answer) as server:
        client = http.client.HTTPConnection("localhost")
        client.sock = afunix.connect_socket(path, timeout=20)
        client.request("GET", "/version")
        assert client.getresponse().read() == b"hello"
        client.close()
        assert server.result() == b"GET /version HTTP/1.1"


def test_plain_socket_needs_no_asyncio() -> None:
    program = "import sys, afunix; afunix.connect_socket; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], env=environment()).returncode == 0


def test_inherited_socket_that_is_refused_stays_its_owners() -> None:
    near, far = socket.socketpair()
    with near, far:
        with pytest.raises(PeerMismatchError):
            dialling.connect_socket(f"fd:{near.fileno()}", require=f"user:{os.getuid() + 1}")
        far.send(b"x")
        assert near.recv(9) == b"x"
