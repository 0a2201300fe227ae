"""`serve` and `relay` as processes that inherit descriptors: what is served, what is ignored, and what is refused how.

Each case is one line: what is handed over, with what variables, what is said, and the status.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Any, NamedTuple

import pytest
from tests.program import PATIENCE_S, Ended, command, end_for_good, ended, environment
from tests.servers import echo, serving

_LAUNCHER = """
import fcntl, os, sys
pid, fds, argv = sys.argv[1], sys.argv[2], sys.argv[3:]
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds.split()]
os.closerange(3, 100)
for number, fd in enumerate(high, 3):
    os.dup2(fd, number)
if pid:
    os.environ["LISTEN_PID"] = str(os.getpid()) if pid == "me" else pid
os.execv(argv[0], argv)
"""

Handed = socket.socket | IO[Any]
COMMANDS = ("serve", "relay")


@pytest.fixture
def make(sock_dir: str) -> Iterator[Callable[[str], Handed]]:
    """What is handed over, by its word; a socket with a path is bound to `sock_dir`/WORD."""
    with ExitStack() as stack:

        def bound(word: str, kind: int, *, listens: bool = True) -> socket.socket:
            sock = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            sock.bind(f"{sock_dir}/{word}")
            if listens:
                sock.listen()
            return sock

        def pair() -> socket.socket:
            one, other = map(stack.enter_context, socket.socketpair())
            stack.callback(other.close)
            return one

        makers: dict[str, Callable[[], Handed]] = {
            "stream": lambda: bound("stream", socket.SOCK_STREAM),
            "seqpacket": lambda: bound("seqpacket", socket.SOCK_SEQPACKET),
            "dgram": lambda: bound("dgram", socket.SOCK_DGRAM, listens=False),
            "bound": lambda: bound("bound", socket.SOCK_STREAM, listens=False),
            "connected": pair,
            "file": lambda: stack.enter_context(open(os.devnull, "rb")),
            "udp": lambda: stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
        }
        yield lambda word: makers[word]()


@contextmanager
def start(
    handed: Sequence[Handed], args: Sequence[str], pid: str, variables: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    fds = [each.fileno() for each in handed]
    process = subprocess.Popen(
        [sys.executable, "-c", _LAUNCHER, pid, " ".join(map(str, fds)), *command(*args)],
        bufsize=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=fds,
        env=environment(**{"LISTEN_FDS": str(len(handed)), **variables}),
    )
    try:
        yield process
    finally:
        end_for_good(process)


def run(
    name: str, directory: str, handed: Sequence[Handed], *args: str, pid: str = "me", **variables: str
) -> Ended:
    far_end = [f"{directory}/server"] if name == "relay" else []
    with start(handed, [name, *args, *far_end], pid, variables) as process:
        return ended(process)


def hear(manager: socket.socket) -> Iterator[str]:
    """What comes; for no longer than a test may take, since a watched service never falls silent."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        yield manager.recv(5000).decode()


class Case(NamedTuple):
    """`said` is in what goes to STDERR, `hint` too."""

    handed: str
    variables: dict[str, str]
    said: str
    hint: str
    status: int = 2
    args: tuple[str, ...] = ()


A_PATH = "ListenStream=, ListenSequentialPacket= and ListenDatagram= name a path"
REFUSED = {
    "a file": Case("file", {}, "descriptor 3 ('unknown') is a character device, expected a Unix", A_PATH),
    "another family": Case("udp", {}, "a socket of the family AF_INET, expected AF_UNIX", A_PATH),
    "not listening": Case("bound", {}, "a stream socket, does not listen", "write Accept=no"),
    "Accept=yes": Case(
        "connected", {"LISTEN_FDNAMES": "connection"}, "3 ('connection'), a stream socket,", "Accept=no"
    ),
    "types mixed": Case("stream dgram", {}, "one run serves one type", "start one"),
    "another type": Case(
        "seqpacket",
        {},
        "is a seqpacket socket, and --type stream was",
        "--type seqpacket",
        6,
        ("--type", "stream"),
    ),
    "one too few": Case(
        "stream", {"LISTEN_FDS": "2"}, "descriptor 4 ('unknown') is not open (EBADF)", "open"
    ),
    "very many": Case("stream", {"LISTEN_FDS": "999999999"}, "descriptor 4 ('unknown') is not open", "open"),
    "too many digits": Case("stream", {"LISTEN_FDS": "9" * 30}, "expected a number", "unset LISTEN_FDS"),
    "negative": Case("stream", {"LISTEN_FDS": "-1"}, "LISTEN_FDS is '-1', expected a number", "unset"),
    "no number": Case("stream", {"LISTEN_FDS": "one"}, "LISTEN_FDS is 'one', expected a number", "unset"),
    "names too many": Case(
        "stream",
        {"LISTEN_FDNAMES": "a:b"},
        "announces 1 descriptor, and LISTEN_FDNAMES has 2 names",
        "one name",
    ),
    "name is escaped": Case("bound", {"LISTEN_FDNAMES": "\x1b[31m\n"}, "('^[[31m^J')", "Accept=no"),
    "watchdog": Case(
        "stream", {"WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC is 'soon', expected", "unset WATCHDOG"
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_served_is_one_line_and_a_hint(
    sock_dir: str, make: Callable[[str], Handed], name: str, case: Case
) -> None:
    handed = [make(word) for word in case.handed.split()]
    before = os.listdir(sock_dir)
    end = run(name, sock_dir, handed, *case.args, **case.variables)
    assert (end.status, end.out) == (case.status, b"")
    error, hint = end.err.splitlines()
    assert error.startswith("afunix: error: ")
    assert case.said in error
    assert hint.startswith("afunix: hint: ")
    assert case.hint in hint
    assert os.listdir(sock_dir) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_for_another_process_is_not_taken(
    sock_dir: str, make: Callable[[str], Handed], name: str
) -> None:
    end = run(name, sock_dir, [make("stream")], pid="1")
    assert end.status == 2
    assert "the inherited sockets are for process 1 (LISTEN_PID): this is " in end.err
    assert "hint: if a shell starts it, write exec in front of it" in end.err


def test_wrong_watchdog_is_told_before_anything_is_bound(sock_dir: str) -> None:
    for args in (["serve", "--trace", f"{sock_dir}/s"], ["relay", "--trace", f"{sock_dir}/s", "/run/up"]):
        with start([], args, "", {"WATCHDOG_USEC": "0", "LISTEN_FDS": "0"}) as process:
            end = ended(process)
        assert end.status == 2
        assert end.err == (
            "afunix: error: WATCHDOG_USEC is '0', expected a number of microseconds\n"
            "afunix: hint: unset WATCHDOG_USEC\n"
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_meant_for_it_is_served_and_its_manager_hears_of_it(
    sock_dir: str, make: Callable[[str], Handed], name: str
) -> None:
    with ExitStack() as stack:
        stack.enter_context(serving(f"{sock_dir}/server", echo))
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.bind(f"{sock_dir}/notify")
        manager.settimeout(PATIENCE_S)
        variables = {"NOTIFY_SOCKET": f"{sock_dir}/notify", "WATCHDOG_USEC": "50000"}
        args = [name, "--echo"] if name == "serve" else [name, f"{sock_dir}/server"]
        process = stack.enter_context(start([make("stream")], args, "me", variables))
        heard = hear(manager)
        assert next(heard) == "READY=1"
        client = stack.enter_context(socket.socket(socket.AF_UNIX))
        client.connect(f"{sock_dir}/stream")
        where = f"STATUS=listening on '{sock_dir}/stream'"
        assert f"{where}; 1 client connected, 1 accepted so far" in heard
        assert "WATCHDOG=1" in heard
        client.sendall(b"x")
        assert client.recv(10) == b"x"
        client.close()
        assert f"{where}; 0 clients connected, 1 accepted so far" in heard
        process.terminate()
        assert "STOPPING=1" in heard
        assert "STATUS=stopping (SIGTERM); 0 clients connected, 1 accepted so far" in heard
        assert ended(process).status == 0
        assert os.path.exists(f"{sock_dir}/stream")


def test_tap_tells_its_manager_the_path_that_clients_use(sock_dir: str) -> None:
    with ExitStack() as stack:
        stack.enter_context(serving(f"{sock_dir}/server", echo))
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.bind(f"{sock_dir}/notify")
        manager.settimeout(PATIENCE_S)
        variables = {"NOTIFY_SOCKET": f"{sock_dir}/notify", "LISTEN_FDS": "0"}
        process = stack.enter_context(start([], ["tap", f"{sock_dir}/server"], "", variables))
        told = f"STATUS=listening on '{sock_dir}/server'; 0 clients connected, 0 accepted so far"
        assert told in hear(manager)
        process.terminate()
        assert ended(process).status == 0
