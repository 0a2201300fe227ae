"""`afunix connect` and real services on their Unix sockets: Redis and PostgreSQL, each started for these tests only."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.faults.users import USERS, User
from tests.interop.programs import begin, connect
from tests.peers import require
from tests.program import PATIENCE_S

OWNER = USERS[-1]
"""Who runs the services: PostgreSQL refuses root."""


@pytest.fixture(scope="module")
def service_dir() -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="af-")
    os.chmod(path, 0o755)
    os.chown(path, OWNER.uid, -1)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def redis(service_dir: str) -> Iterator[str]:
    path = f"{service_dir}/redis.sock"
    options = (
        "--port",
        "0",
        "--unixsocket",
        path,
        "--unixsocketperm",
        "777",
        "--save",
        "",
        "--dir",
        service_dir,
    )
    process = begin(OWNER, [require("redis-server"), *options], stdout=subprocess.DEVNULL)
    yield path
    stop(process)


def test_redis_answers_inline_commands_to_the_end(user: User, redis: str) -> None:
    end = connect(user, redis, stdin=b"PING\r\nECHO hello\r\n")
    assert (end.status, end.out) == (0, b"+PONG\r\n$5\r\nhello\r\n"), end.err


def test_redis_answers_and_ends_the_conversation(user: User, redis: str) -> None:
    end = connect(user, "--keep-open", redis, stdin=b"PING\r\nQUIT\r\n")
    assert (end.status, end.out) == (0, b"+PONG\r\n+OK\r\n"), end.err


def test_redis_gives_a_large_value_back(user: User, redis: str) -> None:
    value = os.urandom(3_000_000)
    key = b"key-of-%d" % user.uid
    asked = command(b"SET", key, value) + command(b"GET", key) + command(b"QUIT")
    end = connect(user, "--keep-open", redis, stdin=asked)  # it drops what it has not sent at a half-close
    assert end.status == 0, end.err
    assert end.out == b"+OK\r\n$3000000\r\n" + value + b"\r\n+OK\r\n"


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


@dataclass(frozen=True)
class Cluster:
    """A running PostgreSQL: its socket."""

    path: str


@pytest.fixture(scope="module")
def postgres(service_dir: str) -> Iterator[Cluster]:
    data = f"{service_dir}/data"
    made = begin(
        OWNER,
        [
            require("initdb"),
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            "afunix",
            "--no-sync",
            "--locale=C",
            "-E",
            "UTF8",
        ],
    )
    _, err = made.communicate(timeout=PATIENCE_S * 3)
    assert made.returncode == 0, err
    settings = ("-F", "-k", service_dir, "-c", "listen_addresses=", "-c", "shared_buffers=16MB")
    process = begin(
        OWNER,
        [require("postgres"), "-D", data, *settings],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    path = f"{service_dir}/.s.PGSQL.5432"
    try:
        wait_until_it_answers(path)
        yield Cluster(path)
    finally:
        stop(process)


def wait_until_it_answers(path: str) -> None:
    """While it starts up it listens already, and says 57P03 to everybody."""
    for _ in range(200):
        end = connect(USERS[0], path, stdin=startup() + query(b"SELECT 1") + TERMINATE)
        if b"57P03" not in end.out:
            return
    raise AssertionError(end)


TERMINATE = b"X" + struct.pack("!i", 4)


def startup() -> bytes:
    body = struct.pack("!i", 196608) + b"user\0afunix\0database\0postgres\0\0"  # protocol 3.0
    return struct.pack("!i", 4 + len(body)) + body


def query(words: bytes) -> bytes:
    return b"Q" + struct.pack("!i", 4 + len(words) + 1) + words + b"\0"


def messages(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while data:
        (length,) = struct.unpack("!i", data[1:5])
        yield data[:1], data[5 : 1 + length]
        data = data[1 + length :]


def test_postgresql_answers_a_query(user: User, postgres: Cluster) -> None:
    end = connect(user, postgres.path, stdin=startup() + query(b"SELECT 6 * 7") + TERMINATE)
    assert end.status == 0, end.err
    answers = list(messages(end.out))
    assert answers[0] == (b"R", struct.pack("!i", 0))  # AuthenticationOk
    assert [body for kind, body in answers if kind == b"D"] == [struct.pack("!hi", 1, 2) + b"42"]


def test_postgresql_answers_an_ssl_request_with_one_byte(user: User, postgres: Cluster) -> None:
    end = connect(user, "--timeout", "20s", postgres.path, stdin=struct.pack("!ii", 8, 80877103))
    assert (end.status, end.out) == (0, b"N"), end.err


def test_postgresql_sends_a_large_result_whole(user: User, postgres: Cluster) -> None:
    words = b"SELECT repeat('x', 1000) FROM generate_series(1, 5000)"
    end = connect(user, postgres.path, stdin=startup() + query(words) + TERMINATE)
    assert end.status == 0, end.err
    rows = [body for kind, body in messages(end.out) if kind == b"D"]
    assert rows == [struct.pack("!hi", 1, 1000) + b"x" * 1000] * 5000
