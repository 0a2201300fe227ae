"""Redis, PostgreSQL, an HTTP server and systemd's activation, with a relay between them and their clients.

A network namespace of its own stands for another host: nothing of the network leads out of it, a socket's path does.
"""

from __future__ import annotations

import http.server
import os
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.faults.users import USERS, User
from tests.interop.programs import begin, run
from tests.interop.test_databases import Cluster, postgres, redis, service_dir
from tests.peers import require
from tests.program import PATIENCE_S, Ended, ended
from tests.tcp_servers import LOOPBACK, free_port

__all__ = ["postgres", "redis", "service_dir"]

BODY = os.urandom(3_000_000)


@contextmanager
def relaying(user: User, listen: str, connect: str, *options: str) -> Iterator[None]:
    """`afunix relay`, once its path is there; it stops in order."""
    relay = user.start(
        *("relay", "-v", *options, listen, connect),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert relay.stderr is not None
        while b"listening on" not in (line := relay.stderr.readline()):
            assert line, "the relay did not start"
        yield
    finally:
        relay.terminate()
        end = ended(relay)
    assert end.status == 0, end.err


def elsewhere(*argv: str) -> Ended:
    """A program in a network namespace of its own: by root's right, or in a user namespace."""
    apart = [require("unshare"), "--net", *(() if os.geteuid() == 0 else ("--map-root-user",))]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespaces here")
    return run(USERS[0], *apart, *argv)


def test_redis_answers_from_another_network_namespace(user: User, place: str, redis: str) -> None:
    path = f"{place}/redis.sock"
    with relaying(user, path, redis):
        end = elsewhere(require("redis-cli"), "-s", path, "-r", "3", "PING")
    assert (end.status, end.out) == (0, b"PONG\n" * 3), end.err


def test_redis_gives_a_large_value_back(user: User, place: str, redis: str) -> None:
    path, cli = f"{place}/redis.sock", require("redis-cli")
    with relaying(user, path, redis):
        stored = run(USERS[0], cli, "-s", path, "-x", "SET", "large", stdin=BODY)
        assert stored.out == b"OK\n", stored.err
        assert run(USERS[0], cli, "-s", path, "--raw", "GET", "large").out == BODY + b"\n"


def test_redis_benchmark_has_all_its_answers(user: User, place: str, redis: str) -> None:
    path = f"{place}/redis.sock"
    words = ("-t", "get,set", "-n", "2000", "-c", "50", "-P", "4", "--csv")
    with relaying(user, path, redis):
        end = elsewhere(require("redis-benchmark"), "-s", path, *words)
    assert end.status == 0, end.err
    assert [line.split(b",")[0] for line in end.out.splitlines()] == [b'"test"', b'"SET"', b'"GET"']


def psql(directory: str, words: str) -> Ended:
    return elsewhere(require("psql"), "-h", directory, "-U", "afunix", "-d", "postgres", "-XAtqc", words)


def test_postgresql_answers_from_another_network_namespace(user: User, place: str, postgres: Cluster) -> None:
    with relaying(user, f"{place}/.s.PGSQL.5432", postgres.path):
        end = psql(place, "SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
        assert (end.status, end.out) == (0, (b"x" * 1000 + b"\n") * 3000), end.err


def test_postgresql_cancels_a_query_by_a_second_connection(user: User, place: str, postgres: Cluster) -> None:
    with relaying(user, f"{place}/.s.PGSQL.5432", postgres.path):
        sleeper = "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)"
        end = psql(place, sleeper)
    assert b"canceling statement" in end.out + end.err.encode()


def test_pgbench_has_all_its_answers(user: User, place: str, postgres: Cluster) -> None:
    pgbench = [require("pgbench"), "-h", place, "-U", "afunix", "postgres"]
    with relaying(user, f"{place}/.s.PGSQL.5432", postgres.path):
        made = run(USERS[0], *pgbench, "-i", "-q")
        assert made.status == 0, made.err
        end = run(USERS[0], *pgbench, "-S", "-n", "-c", "8", "-t", "50")
    assert b"actually processed: 400/400" in end.out, end.err


class Large(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(BODY)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class HttpServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def serving_http(path: str) -> Iterator[None]:
    with HttpServer(path, Large) as server:
        os.chmod(path, 0o666)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def curl(path: str, *words: str, stdin: bytes = b"") -> Ended:
    return run(USERS[0], require("curl"), "-sS", "--noproxy", "*", "--unix-socket", path, *words, stdin=stdin)


def test_curl_gets_a_large_body_through_a_relay(user: User, place: str) -> None:
    with serving_http(f"{place}/s"), relaying(user, f"{place}/r", f"{place}/s"):
        end = curl(f"{place}/r", "http://host/")
        assert (end.status, end.out == BODY) == (0, True), end.err


def test_curl_sends_a_large_body_and_uses_a_connection_twice(user: User, place: str) -> None:
    url = "http://host/"
    with serving_http(f"{place}/s"), relaying(user, f"{place}/r", f"{place}/s"):
        end = curl(f"{place}/r", "--data-binary", "@-", "-H", "Expect:", url, url, stdin=BODY)
        assert (end.status, end.out == BODY * 2) == (0, True), end.err


def test_systemd_starts_the_relay_with_the_first_client(user: User, place: str) -> None:
    """The client that it is started for is served too."""
    with serving_http(f"{place}/s"), activating(user, f"{place}/r", f"{place}/s"):
        for _ in range(2):
            end = curl(f"{place}/r", "http://host/")
            assert (end.status, end.out == BODY) == (0, True), end.err
    assert os.path.exists(f"{place}/r"), "the socket was systemd's to remove"


def test_systemd_starts_the_relay_with_the_first_client_of_a_port(user: User, place: str) -> None:
    port = free_port()
    words = ("-sS", "--noproxy", "*", f"http://{LOOPBACK}:{port}/")
    with serving_http(f"{place}/s"), activating(user, f"{LOOPBACK}:{port}", f"{place}/s"):
        for _ in range(2):
            end = run(USERS[0], require("curl"), *words)
            assert (end.status, end.out == BODY) == (0, True), end.err


@contextmanager
def activating(user: User, listen: str, connect: str) -> Iterator[None]:
    started = user.command("relay", "-q", connect)
    env = user.environment()
    given = [f"--setenv={name}={env[name]}" for name in ("PYTHONPATH", "LD_LIBRARY_PATH") if name in env]
    activate = [require("systemd-socket-activate"), f"--listen={listen}", *given, *started]
    process = begin(user, activate, stdin=subprocess.DEVNULL)
    try:
        assert process.stderr is not None
        while b"Listening on" not in (line := process.stderr.readline()):
            assert line, "systemd-socket-activate did not start"
        yield
    finally:
        process.terminate()
        _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, told
