"""The calls of `unix-vs-internet`, and the comparison beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from tests.peers import require
from tests.program import environment
from tests.tools.demo.telling import arrows, calls, result_of

from afunix.tools.demo.experiment import perform
from afunix.tools.demo.experiments import EXPERIMENTS, unix_vs_internet


def test_the_calls_of_unix_vs_internet_over_unix_socket() -> None:
    story = result_of("unix-vs-internet").stories[0]
    assert story.title == "over a Unix socket"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock")',
        "server: listen(3, 0)",
        'server: getsockname(3) = "hello.sock"',
        "client: socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK) = 4",
        'client: connect(4, "hello.sock")',
        "client: socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK) = 5",
        'client: connect(5, "hello.sock") = -1 EAGAIN',
        "client: close(5)",
        "client: ioctl(4, FIONBIO, 0)",
        "server: accept(3) = 5",
        'server: getpeername(5) = ""',
        "server: getsockopt(5, SO_PEERCRED) = pid PID uid UID gid GID",
        "client: write(4) = 6",
        "server: read(5) = 6",
        "server: close(5)",
        "client: read(4) = 0 (end of file)",
        "client: close(4)",
        "server: close(3)",
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock") = -1 EADDRINUSE',
        "server: close(3)",
    ]


def test_the_arrows_of_unix_vs_internet_over_unix_socket() -> None:
    story = result_of("unix-vs-internet").stories[0]
    assert arrows(story) == [
        'connect(4, "hello.sock") → accept(3) = 5',
        'write(4) = 6 → read(5) = 6 ["hello\\n"]',
        "close(5) → read(4) = 0 (end of file) [end of file]",
    ]


def test_the_calls_of_unix_vs_internet_over_tcp() -> None:
    story = result_of("unix-vs-internet").stories[1]
    assert story.title == "over TCP"
    assert calls(story) == [
        "server: socket(AF_INET, SOCK_STREAM) = 3",
        'server: bind(3, "127.0.0.1:0")',
        "server: listen(3, 0)",
        'server: getsockname(3) = "127.0.0.1:PORT"',
        "client: socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK) = 4",
        'client: connect(4, "127.0.0.1:PORT") = -1 EINPROGRESS',
        "client: poll(4, POLLOUT, 100 ms) = 1",
        "client: socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK) = 5",
        'client: connect(5, "127.0.0.1:PORT") = -1 EINPROGRESS',
        "client: poll(5, POLLOUT, 100 ms) = 0 (timeout)",
        "client: close(5)",
        "client: ioctl(4, FIONBIO, 0)",
        "server: accept(3) = 5",
        'server: getpeername(5) = "127.0.0.1:PORT"',
        "server: getsockopt(5, SO_PEERCRED) = pid 0 uid -1 gid -1  (nobody known)",
        "client: write(4) = 6",
        "server: read(5) = 6",
        "server: close(5)",
        "client: read(4) = 0 (end of file)",
        "client: close(4)",
        "server: close(3)",
        "server: socket(AF_INET, SOCK_STREAM) = 3",
        'server: bind(3, "127.0.0.1:PORT") = -1 EADDRINUSE',
        "server: close(3)",
    ]


def test_the_arrows_of_unix_vs_internet_over_tcp() -> None:
    story = result_of("unix-vs-internet").stories[1]
    assert arrows(story) == [
        "poll(4, POLLOUT, 100 ms) = 1 → accept(3) = 5",
        'write(4) = 6 → read(5) = 6 ["hello\\n"]',
        "close(5) → read(4) = 0 (end of file) [end of file]",
    ]


def test_what_differs_stands_side_by_side() -> None:
    comparison = result_of("unix-vs-internet").comparison
    assert comparison is not None
    assert comparison.header == ("", "Unix", "TCP")
    assert comparison.rows == (
        ("the server's name", '"hello.sock"', '"127.0.0.1:PORT"'),
        ("getpeername at the server", '""', '"127.0.0.1:PORT"'),
        ("SO_PEERCRED at the server", "pid PID uid UID gid GID", "pid 0 uid -1 gid -1  (nobody known)"),
        ("connect, non-blocking, to an empty queue", "0, connected", "EINPROGRESS, then connected"),
        (
            "connect, non-blocking, to a full queue",
            "EAGAIN, nothing was begun",
            "EINPROGRESS, then nothing for 100 ms",
        ),
        (
            "bind again after the server closed first",
            "EADDRINUSE, until the file is unlinked",
            "EADDRINUSE, for a minute (TIME_WAIT)",
        ),
    )


def test_times_are_measured_where_they_are_wanted() -> None:
    comparison = perform(EXPERIMENTS["unix-vs-internet"]).comparison
    assert comparison is not None
    (_, *round_trips), (_, *throughputs) = comparison.rows[-2:]
    assert all(0.1 < float(cell.removesuffix(" µs")) < 10_000 for cell in round_trips)
    assert all(0.0 <= float(cell.removesuffix(" GB/s")) < 1_000 for cell in throughputs)


def test_a_machine_without_a_loopback_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix_vs_internet, "LOOPBACK", ("192.0.2.1", 0))  # nobody's (RFC 5737)
    result = perform(EXPERIMENTS["unix-vs-internet"], reproducible=True)
    assert result.surprises == ('bind(3, "192.0.2.1:0") failed with EADDRNOTAVAIL, expected it to succeed',)
    assert result.comparison is not None
    assert result.comparison.rows[0] == ("the server's name", '"hello.sock"', "not found out")
    assert calls(result.stories[1])[-2:] == [
        'server: bind(3, "192.0.2.1:0") = -1 EADDRNOTAVAIL',
        "server: close(3)",
    ]


def test_a_loopback_that_is_down_is_hinted_at_and_the_unix_half_is_kept() -> None:
    unshare = [require("unshare"), *([] if os.geteuid() == 0 else ["-Ur"]), "-n"]
    program = (
        "import json\n"
        "from afunix.tools.demo.experiment import perform\n"
        "from afunix.tools.demo.experiments import EXPERIMENTS\n"
        "result = perform(EXPERIMENTS['unix-vs-internet'])\n"
        "print(json.dumps([result.surprises, result.comparison.rows]))\n"
    )
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this system makes no network namespace for us")
    command = [*unshare, sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, check=True, env=environment())
    (surprise,), rows = json.loads(done.stdout)
    assert "failed with ENETUNREACH" in surprise and "'ip link set lo up'" in surprise
    assert all(unix != "not found out" and tcp == "not found out" for _, unix, tcp in rows)
    assert rows[-1][0].startswith("throughput")
