"""`afunix connect` against servers that others wrote: socat, nc, ncat, Redis, PostgreSQL; and strace on its trace."""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.looking import is_listened_on
from tests.peers import require
from tests.program import PATIENCE_S, command, ended, environment, run, start
from tests.servers import read_all, serving

BULK = bytes(range(256)) * 8000


@contextmanager
def running(argv: list[str], path: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, once somebody listens at `path`; it is killed in the end."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
    try:
        limit = time.monotonic() + PATIENCE_S
        while not is_listened_on(path):
            assert process.poll() is None, f"{argv[0]} ended"
            assert time.monotonic() < limit, f"{argv[0]} does not listen"
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_socat_echoes_bulk(sock_dir: str) -> None:
    with running([require("socat"), f"UNIX-LISTEN:{sock_dir}/s,fork", "EXEC:cat"], f"{sock_dir}/s"):
        end = run("connect", f"{sock_dir}/s", stdin=BULK)
        assert (end.status, end.out) == (0, BULK)


@pytest.mark.parametrize(("address", "option"), [("UNIX-RECVFROM", []), ("UNIX-LISTEN", ["type=5"])])
def test_socat_answers_records(sock_dir: str, address: str, option: list[str]) -> None:
    server = ",".join([f"{address}:{sock_dir}/s", "fork", *option])
    process = subprocess.Popen([require("socat"), server, "EXEC:cat"])
    try:
        end = run("connect", "--wait", "10s", "--idle-timeout", "3s", f"{sock_dir}/s", stdin=b"record\n")
        assert (end.status, end.out) == (0, b"record\n")
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("peer", ["nc", "ncat"])
def test_netcat_prints_what_is_sent(sock_dir: str, peer: str) -> None:
    options = {"nc": ["-lU"], "ncat": ["-lU", "--recv-only"]}[peer]
    with running([require(peer), *options, f"{sock_dir}/s"], f"{sock_dir}/s") as server:
        process = start("connect", f"{sock_dir}/s")
        assert process.stdin is not None
        process.stdin.write(b"for netcat\n")
        assert server.stdout is not None
        assert server.stdout.read(11) == b"for netcat\n"
        assert ended(process).status == 0


@pytest.fixture
def redis(sock_dir: str) -> Iterator[str]:
    path = f"{sock_dir}/redis.sock"
    argv = [require("redis-server"), "--port", "0", "--unixsocket", path, "--save", "", "--dir", sock_dir]
    with running(argv, path):
        yield path


def test_redis_answers_and_ends_after_the_half_close(redis: str) -> None:
    end = run("connect", redis, stdin=b"SET key value\r\nGET key\r\nQUIT\r\n")
    assert (end.status, end.out) == (0, b"+OK\r\n$5\r\nvalue\r\n+OK\r\n")


def test_redis_takes_ten_thousand_commands(redis: str) -> None:
    commands = b"".join(b"INCR counter\r\n" for _ in range(10_000)) + b"QUIT\r\n"
    end = run("connect", redis, stdin=commands)
    assert end.status == 0
    assert end.out.endswith(b":10000\r\n+OK\r\n")


@pytest.fixture
def postgresql(sock_dir: str) -> Iterator[str]:
    initdb, postgres = require("initdb"), require("postgres")
    data = f"{sock_dir}/data"
    as_user = (
        [require("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    )
    if as_user:
        os.chown(sock_dir, 65534, 65534)
    subprocess.run(
        [*as_user, initdb, "-D", data, "-U", "ana", "-A", "trust"], check=True, cwd="/", capture_output=True
    )
    argv = [*as_user, postgres, "-D", data, "-k", sock_dir, "-c", "listen_addresses=", "-F"]
    with running(argv, f"{sock_dir}/.s.PGSQL.5432"):
        yield f"{sock_dir}/.s.PGSQL.5432"


def test_postgresql_answers_a_start_packet_and_a_query(postgresql: str) -> None:
    parameters = b"user\0ana\0database\0postgres\0\0"
    hello = struct.pack("!ii", 8 + len(parameters), 196608) + parameters
    query = b"SELECT 6 * 7 AS answer\0"
    asked = b"Q" + struct.pack("!i", 4 + len(query)) + query
    goodbye = b"X" + struct.pack("!i", 4)
    end = run("connect", "--wait", "10s", postgresql, stdin=hello + asked + goodbye)
    assert end.status == 0
    assert b"answer" in end.out
    assert b"\0\0\0\x0242" in end.out  # a field of two bytes


def test_trace_is_what_strace_sees(sock_dir: str) -> None:
    """Every call on the socket that strace reports is in the trace with the same result, and the other way round."""

    def answer(connection: socket.socket) -> None:
        read_all(connection)
        connection.sendall(b"answer")

    log = f"{sock_dir}/strace"
    calls = "socket,connect,read,write,shutdown,close"
    argv = [require("strace"), "-f", "-o", log, "-e", f"trace={calls}"]
    with serving(f"{sock_dir}/s", answer):
        end = subprocess.run(
            [*argv, *command("connect", "--trace", f"{sock_dir}/s")],
            input=b"question\n",
            capture_output=True,
            env=environment(),
            check=True,
        )
    with open(log) as report:
        seen = [call for line in report for call in calls_on_the_socket(line)]
    first = next(index for index, call in enumerate(seen) if call.startswith("socket"))
    traced = [simplified(line) for line in end.stderr.decode().splitlines()]
    assert traced == seen[first:]


def calls_on_the_socket(line: str) -> list[str]:
    """`read(3) = 6` from strace's line, if it is about descriptor 3 and did not say "not yet"."""
    found = re.match(r"\d+ +(\w+)\((AF_UNIX|3)\b.*\) += (-?\d+)( EAGAIN)?", line)
    return [] if found is None or found[4] else [f"{found[1]}({found[2]}) = {found[3]}"]


def simplified(line: str) -> str:
    """The same from our own line; a call that shows no result returned 0."""
    found = re.match(r"(\w+)\((AF_UNIX|3)\b.*?\)(?: = (-?\d+))?", line)
    assert found is not None
    return f"{found[1]}({found[2]}) = {found[3] or 0}"


def test_data_survives_whatever_reads_it(sock_dir: str) -> None:
    """Through a file on disk and back, with the shell's own tools at both ends."""
    with open(f"{sock_dir}/in", "wb") as file:
        file.write(BULK)
    with running([require("socat"), f"UNIX-LISTEN:{sock_dir}/s,fork", "EXEC:cat"], f"{sock_dir}/s"):
        shell = f'cat in | "$@" {sock_dir}/s | cat > out; cmp in out'
        argv = [shutil.which("sh") or "sh", "-c", shell, "sh", *command("connect")]
        end = subprocess.run(argv, cwd=sock_dir, env=environment(), capture_output=True, check=False)
        assert (end.returncode, end.stdout, end.stderr) == (0, b"", b"")
