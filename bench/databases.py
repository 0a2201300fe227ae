"""Redis and PostgreSQL behind a relay, each with its own benchmark as the client.

Both are started for one sample, without a port and without a disk's waits. A program that is not installed is a reason
in the table. PostgreSQL refuses root: its cluster is `nobody`'s then.
"""

from __future__ import annotations

import contextlib
import csv
import glob
import io
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

from bench import measure, processes, relays
from bench.bulk import Sample
from bench.contenders import Contender
from bench.measure import MeasurementError
from bench.workplace import Workplace

_REQUESTS = 200_000
_TRANSACTIONS_EACH = 8_000
_CLIENTS = 8
_TIMEOUT_S = 120.0
_SOCKET_NAME = ".s.PGSQL.5432"
"""libpq finds a server by its directory and the number of a port (34.1.2 of the manual)."""


def _program(name: str) -> str:
    """The path of a program. Debian keeps PostgreSQL's off the PATH."""
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))), None)
    if found is None:
        raise MeasurementError(f"{name} is not installed")
    return found


def _output_of(argv: list[str], **options: Any) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_S, **options)
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"{os.path.basename(argv[0])}: not within {_TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or "nothing said").splitlines()[-1]
        raise MeasurementError(f"{os.path.basename(argv[0])}: {last}")
    out: str = done.stdout
    return out


def redis(work: Workplace, contender: Contender) -> Sample:
    """50 connections that ask one thing after another: GET, then SET."""
    server, client = _program("redis-server"), _program("redis-benchmark")
    sock, count = work.new_socket(), work.amount(_REQUESTS * contender.share)
    with (
        relays.serving(work, sock, f"{server} --port 0 --unixsocket {{sock}}.up --save '' --dir /"),
        relays.relaying(work, contender, sock),
    ):
        out = _output_of([client, "-s", sock, "-t", "get,set", "-c", "50", "-n", str(count), "--csv"])
    rates = {row["test"]: float(row["rps"]) for row in csv.DictReader(io.StringIO(out))}
    return {"get_per_s": rates["GET"], "set_per_s": rates["SET"]}


def pgbench(work: Workplace, contender: Contender) -> Sample:
    """8 connections that select one row by its key, again and again, in simple queries."""
    directory = work.new_socket()
    os.mkdir(directory)
    with _postgres() as cluster:
        sock = f"{directory}/{_SOCKET_NAME}"
        os.symlink(f"{cluster}/{_SOCKET_NAME}", f"{sock}.up")
        with relays.relaying(work, contender, sock):
            each = work.amount(_TRANSACTIONS_EACH * contender.share)
            out = _output_of([*_pgbench(directory), "-S", "-n", "-c", str(_CLIENTS), "-t", str(each)])
    return {"per_s": _figure(r"^tps = ([\d.]+)", out), "ms": _figure(r"^latency average = ([\d.]+) ms", out)}


def _figure(pattern: str, text: str) -> float:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise MeasurementError("pgbench did not say how fast it was")
    return float(match[1])


def _pgbench(directory: str) -> list[str]:
    return [_program("pgbench"), "-h", directory, "-p", "5432", "-U", "bench", "postgres"]


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    """A cluster with pgbench's tables, which answers at `_SOCKET_NAME` in this directory."""
    initdb, server, _ = (_program(name) for name in ("initdb", "postgres", "pgbench"))
    directory = tempfile.mkdtemp(prefix="b")
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        owner = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    os.chmod(directory, 0o755)
    try:
        data = f"{directory}/data"
        made = [initdb, "-D", data, "-A", "trust", "-U", "bench", "--no-sync", "--locale=C"]
        _output_of(made, cwd="/", **owner)
        settings = ["-F", "-k", directory, "-c", "listen_addresses=", "-c", "max_connections=30"]
        process = subprocess.Popen(
            [server, "-D", data, *settings],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **owner,
        )
        try:
            _wait_answering(directory, process)
            _output_of([*_pgbench(directory), "-i", "-q"])
            yield directory
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait_answering(directory: str, process: subprocess.Popen[bytes]) -> None:
    ready = [_program("pg_isready"), "-q", "-h", directory, "-p", "5432"]

    def answers() -> bool:
        if process.poll() is not None:
            raise MeasurementError("postgres ended at its start")
        return subprocess.run(ready, check=False).returncode == 0

    measure.wait_until(answers, "PostgreSQL's answer", processes.READY_TIMEOUT_S, pause_s=0.05)
