"""A relay with a TCP end, both ways round: bytes, half-closes, resets after the data, names with several addresses."""

from __future__ import annotations

import errno
import hashlib
import http.server
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from tests.peers import require
from tests.program import PATIENCE_S
from tests.relaying import RunningRelay, relaying
from tests.servers import Act, Server, echo, read_all, serving
from tests.tcp_servers import dialled, dialled_unix, free_port, has_ipv6, reset, serving_tcp

SOME = os.urandom(32 * 1024)
MUCH = os.urandom(4 * 1024 * 1024)
QUEUED = os.urandom(1024 * 1024)
"""More than a TCP receiver takes that does not read, less than a sender's queue holds (loopback, Linux's defaults)."""
BULK_BYTES = 64 * 1024 * 1024

Client = Callable[[], AbstractContextManager[socket.socket]]

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


@contextmanager
def unix_in_front_of_tcp(sock_dir: str, act: Act, **settings: Any) -> Iterator[tuple[Server, Client]]:
    path = f"{sock_dir}/r"
    with serving_tcp(act) as (server, port), relaying(path, f"tcp:127.0.0.1:{port}", **settings):
        yield server, lambda: dialled_unix(path)


@contextmanager
def tcp_in_front_of_unix(sock_dir: str, act: Act, **settings: Any) -> Iterator[tuple[Server, Client]]:
    path, port = f"{sock_dir}/s", free_port()
    with serving(path, act) as server, relaying(f"tcp:127.0.0.1:{port}", path, **settings):
        yield server, lambda: dialled(port)


Setup = Callable[..., AbstractContextManager[tuple[Server, Client]]]
BOTH_WAYS = pytest.mark.parametrize("setup", [unix_in_front_of_tcp, tcp_in_front_of_unix])


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(MUCH)))
        self.end_headers()
        self.wfile.write(MUCH)

    def log_message(self, format: str, *args: object) -> None:
        pass


def speak_http(connection: socket.socket) -> None:
    _Hello(connection, ("", 0), None)  # type: ignore[arg-type]


def test_curl_reaches_a_unix_http_server_by_its_port(sock_dir: str) -> None:
    curl, port = require("curl"), free_port()
    with serving(f"{sock_dir}/s", speak_http), relaying(f"tcp:127.0.0.1:{port}", f"{sock_dir}/s"):
        got = subprocess.run(
            [curl, "-sS", "--noproxy", "*", f"http://127.0.0.1:{port}/"],
            capture_output=True,
            check=True,
            timeout=PATIENCE_S,
        )
    assert got.stdout == MUCH


def test_curl_reaches_a_tcp_http_server_by_a_unix_socket(sock_dir: str) -> None:
    curl, path = require("curl"), f"{sock_dir}/r"
    with serving_tcp(speak_http) as (_, port), relaying(path, f"tcp:127.0.0.1:{port}"):
        got = subprocess.run(
            [curl, "-sS", "--unix-socket", path, "http://nowhere.invalid/"],
            capture_output=True,
            check=True,
            timeout=PATIENCE_S,
        )
    assert got.stdout == MUCH


@BOTH_WAYS
@pytest.mark.parametrize("env", [{}, {"AFUNIX_FORCE_FALLBACK": "splice"}], ids=["splice", "copy"])
def test_much_goes_both_ways_at_once_and_is_the_same(
    sock_dir: str, setup: Setup, env: dict[str, str]
) -> None:
    block = os.urandom(1024 * 1024)

    def send(sock: socket.socket) -> None:
        for _ in range(BULK_BYTES // len(block)):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)

    def talk(sock: socket.socket) -> tuple[int, str]:
        sender = threading.Thread(target=send, args=(sock,))
        sender.start()
        count, digest = 0, hashlib.sha256()
        while piece := sock.recv(1 << 20):
            count += len(piece)
            digest.update(piece)
        sender.join()
        return count, digest.hexdigest()

    expected = hashlib.sha256()
    for _ in range(BULK_BYTES // len(block)):
        expected.update(block)
    with setup(sock_dir, talk, env=env) as (server, client), client() as sock:
        assert talk(sock) == (BULK_BYTES, expected.hexdigest())
        assert server.result() == (BULK_BYTES, expected.hexdigest())


@BOTH_WAYS
def test_an_echo_comes_back(sock_dir: str, setup: Setup) -> None:
    with setup(sock_dir, echo) as (_, client):
        for _ in range(3):
            with client() as sock:
                sock.sendall(b"hello")
                assert sock.recv(100) == b"hello"


def send_for_ever(connection: socket.socket) -> None:
    connection.settimeout(PATIENCE_S)
    with connection:
        try:
            while True:
                connection.sendall(MUCH)
        except OSError:
            pass


@BOTH_WAYS
def test_who_does_not_read_holds_up_nobody(sock_dir: str, setup: Setup) -> None:
    senders: list[threading.Thread] = []

    def send_to_each(connection: socket.socket) -> None:
        senders.append(threading.Thread(target=send_for_ever, args=(connection.dup(),), daemon=True))
        senders[-1].start()

    with setup(sock_dir, send_to_each) as (_, client), client() as idle, client() as busy:
        idle.recv(1)
        count = 0
        while count < BULK_BYTES:
            count += len(busy.recv(1 << 20))
    for sender in senders:
        sender.join(PATIENCE_S)


@BOTH_WAYS
def test_the_clients_half_close_is_passed_on_alone(sock_dir: str, setup: Setup) -> None:
    def answer_at_the_end(connection: socket.socket) -> None:
        got = read_all(connection)
        connection.sendall(got[::-1])

    with setup(sock_dir, answer_at_the_end) as (_, client), client() as sock:
        sock.sendall(SOME)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == SOME[::-1]


@BOTH_WAYS
def test_the_servers_half_close_is_passed_on_alone(sock_dir: str, setup: Setup) -> None:
    def listen_after_the_end(connection: socket.socket) -> bytes:
        connection.sendall(SOME)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)

    with setup(sock_dir, listen_after_the_end) as (server, client), client() as sock:
        assert read_all(sock) == SOME
        sock.sendall(SOME[::-1])
        sock.shutdown(socket.SHUT_WR)
        assert server.result() == SOME[::-1]


def read_until_it_breaks(sock: socket.socket) -> tuple[bytes, bool]:
    """All that comes, and whether it ended with a reset."""
    pieces = []
    try:
        while piece := sock.recv(1 << 20):
            pieces.append(piece)
    except ConnectionResetError:
        return b"".join(pieces), True
    return b"".join(pieces), False


def test_a_tcp_clients_reset_is_a_close_for_the_unix_server_after_the_data(sock_dir: str) -> None:
    with tcp_in_front_of_unix(sock_dir, read_until_it_breaks) as (server, client), client() as sock:
        sock.sendall(SOME)
        reset(sock)
        assert server.result() == (SOME, False)


def test_a_tcp_servers_reset_is_a_close_for_the_unix_client_after_the_data(sock_dir: str) -> None:
    def send_and_reset(connection: socket.socket) -> None:
        connection.sendall(SOME)
        reset(connection)

    with unix_in_front_of_tcp(sock_dir, send_and_reset) as (_, client), client() as sock:
        assert read_until_it_breaks(sock) == (SOME, False)


def test_a_unix_clients_reset_is_one_for_the_tcp_server_after_the_data(sock_dir: str) -> None:
    answered = threading.Event()

    def answer_first(connection: socket.socket) -> tuple[bytes, bool]:
        connection.sendall(b"unread")
        answered.set()
        return read_until_it_breaks(connection)

    with unix_in_front_of_tcp(sock_dir, answer_first) as (server, client):
        with client() as sock:
            sock.sendall(SOME)
            assert answered.wait(PATIENCE_S)
            select.select([sock], [], [], PATIENCE_S)
        assert server.result() == (SOME, True)


def test_a_unix_servers_reset_is_one_for_the_tcp_client_after_the_data(sock_dir: str) -> None:
    has_closed = threading.Event()

    def send_and_leave_something_unread(connection: socket.socket) -> None:
        connection.sendall(QUEUED)
        select.select([connection], [], [], PATIENCE_S)
        connection.close()
        has_closed.set()

    with tcp_in_front_of_unix(sock_dir, send_and_leave_something_unread) as (_, client), client() as sock:
        sock.sendall(b"unread")
        assert has_closed.wait(PATIENCE_S)
        assert read_until_it_breaks(sock) == (QUEUED, True)


def test_what_a_unix_client_sent_before_it_left_reaches_a_tcp_server_that_talks(sock_dir: str) -> None:
    """A close with something unread would reset the server's connection, and throw away what it has not got."""
    has_left = threading.Event()

    def talk_and_read_late(connection: socket.socket) -> bytes:
        assert has_left.wait(PATIENCE_S)
        connection.sendall(b"is anybody there?")
        return read_until_it_breaks(connection)[0]

    with unix_in_front_of_tcp(sock_dir, talk_and_read_late) as (server, client):
        with client() as sock:
            sock.sendall(QUEUED)
        has_left.set()
        assert server.result() == QUEUED


def test_a_client_of_an_absent_server_is_reset_and_the_reason_told(sock_dir: str) -> None:
    port = free_port()
    with relaying(f"tcp:127.0.0.1:{port}", f"{sock_dir}/absent") as running:
        with pytest.raises(ConnectionResetError), dialled(port) as sock:
            sock.recv(1)
        assert "absent' does not exist (ENOENT)" in running.stop()


@pytest.mark.parametrize(
    ("host", "words"), [("127.0.0.1", "nobody listens on 'tcp:127.0.0.1:"), ("224.0.0.1", "(ENETUNREACH)")]
)
def test_a_port_that_cannot_be_reached_is_told(sock_dir: str, host: str, words: str) -> None:
    path = f"{sock_dir}/r"
    with relaying(path, f"tcp:{host}:{free_port()}") as running:
        with dialled_unix(path) as sock:
            assert sock.recv(1) == b""
        assert words in running.stop()


def test_a_server_that_starts_later_is_waited_for(sock_dir: str) -> None:
    path, port = f"{sock_dir}/r", free_port()
    with (
        relaying(path, f"tcp:127.0.0.1:{port}", wait=PATIENCE_S),
        dialled_unix(path) as sock,
    ):
        sock.sendall(b"hello")
        with serving_tcp(echo, port=port):
            assert sock.recv(100) == b"hello"


@needs_ipv6
def test_ipv6_at_both_ends(sock_dir: str) -> None:
    path, port = f"{sock_dir}/r", free_port("::1")
    with (
        serving_tcp(echo, "::1") as (_, inner),
        relaying(path, f"tcp:[::1]:{inner}"),
        relaying(f"tcp:[::1]:{port}", path),
        dialled(port, "::1") as sock,
    ):
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"


@needs_ipv6
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_name_is_reached_by_the_address_that_answers(sock_dir: str, host: str) -> None:
    path = f"{sock_dir}/r"
    if host not in {name[0] for *_, name in socket.getaddrinfo("localhost", None)}:
        pytest.skip(f"localhost is not {host} here")
    with (
        serving_tcp(echo, host) as (_, port),
        relaying(path, f"tcp:localhost:{port}"),
        dialled_unix(path) as sock,
    ):
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"


def test_what_was_sent_from_the_queue_by_the_stop_reaches_the_server(sock_dir: str) -> None:
    path, port = f"{sock_dir}/s", free_port()
    with (
        serving(path, read_all) as server,
        relaying(f"tcp:127.0.0.1:{port}", path, max_clients=1) as running,
        dialled(port) as first,
        dialled(port) as queued,
    ):
        queued.sendall(b"two")
        stopping(running)
        first.close()
        assert queued.recv(100) == b""
        running.wait()
        assert [server.result(), server.result()] == [b"", b"two"]


def test_who_is_in_the_queue_at_the_stop_is_served_in_the_time_that_is_left(sock_dir: str) -> None:
    path, port = f"{sock_dir}/s", free_port()
    with (
        serving(path, echo),
        relaying(f"tcp:127.0.0.1:{port}", path, max_clients=1, drain_s=PATIENCE_S) as running,
        dialled(port) as first,
    ):
        first.sendall(b"one")
        assert first.recv(100) == b"one"
        with dialled(port) as queued:
            queued.sendall(b"two")
            stopping(running)
            first.close()
            assert queued.recv(100) == b"two"
            queued.shutdown(socket.SHUT_WR)
            assert queued.recv(100) == b""
        running.wait()


def test_what_is_about_unix_sockets_is_refused_before_anything_is_opened(sock_dir: str) -> None:
    path, port = f"{sock_dir}/s", free_port()
    with (
        pytest.raises(
            AssertionError, match="AddressError: passing descriptors on is between two Unix sockets"
        ),
        relaying(f"tcp:127.0.0.1:{port}", path, pass_fds=True),
    ):
        pass


def stopping(running: RunningRelay) -> None:
    running.process.terminate()


def test_a_successor_has_the_port_while_conversations_go_on(sock_dir: str) -> None:
    path, port = f"{sock_dir}/s", free_port()
    address = f"tcp:127.0.0.1:{port}"
    with serving(path, echo), relaying(address, path, drain_s=PATIENCE_S) as first, dialled(port) as sock:
        sock.sendall(b"one")
        assert sock.recv(100) == b"one"
        stopping(first)
        wait_until_nobody_listens(port)
        with relaying(address, path):
            sock.sendall(b"two")
            assert sock.recv(100) == b"two"
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == b""
        first.wait()


def wait_until_nobody_listens(port: int) -> None:
    """A connect may be dropped while the queue is emptied; then it is asked for again a second later."""
    while True:
        with socket.socket() as sock:
            sock.settimeout(PATIENCE_S)
            if sock.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED:
                return
