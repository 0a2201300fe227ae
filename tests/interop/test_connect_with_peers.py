"""`afunix connect`, and servers of others: socat, nc, ncat, Python's socketserver."""

from __future__ import annotations

import os
import socketserver
import threading

import pytest
from tests.faults.users import User
from tests.interop.programs import connect, running
from tests.peers import require
from tests.program import ended

LINES = b"".join(b"%06d %s\n" % (number, b"." * (number % 100)) for number in range(20_000))


def test_echo_of_socat_comes_back_whole(user: User, place: str) -> None:
    path = f"{place}/s"
    with running(user, require("socat"), "-t", "20", f"UNIX-LISTEN:{path},fork", "EXEC:cat"):
        for _ in range(2):
            end = connect(user, path, stdin=LINES)
            assert (end.status, end.out) == (0, LINES), end.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("socat", ("-u", "UNIX-LISTEN:{path}", "-")),
        ("nc", ("-lU", "{path}")),
        ("ncat", ("--recv-only", "-lU", "{path}")),
    ],
)
def test_it_gets_all_that_is_sent(user: User, place: str, name: str, words: tuple[str, ...]) -> None:
    path = f"{place}/s"
    with running(user, require(name), *(word.format(path=path) for word in words)) as server:
        sender = Sender(user, "--send-only", path)
        got = ended(server, b"")
        assert got.out == LINES
        sender.join()
        assert sender.status == 0


class Sender(threading.Thread):
    """`afunix connect` that sends LINES while the test reads them."""

    def __init__(self, user: User, *args: str) -> None:
        super().__init__(daemon=True)
        self._user, self._args = user, args
        self.status = -1
        self.start()

    def run(self) -> None:
        self.status = connect(self._user, *self._args, stdin=LINES).status


def test_socat_that_says_something_and_leaves_is_heard(user: User, place: str) -> None:
    path = f"{place}/s"
    with running(user, require("socat"), "-u", "EXEC:echo all there is", f"UNIX-LISTEN:{path}"):
        end = connect(user, "--receive-only", path)
    assert (end.status, end.out) == (0, b"all there is\n")


def test_program_behind_ncat_answers(user: User, place: str) -> None:
    """A line only: its --exec loses what is under way when the client half-closes, and stops at a full pipe."""
    path = f"{place}/s"
    with running(user, require("ncat"), "-lU", path, "--sh-exec", "head -n 1 | tr a-z A-Z"):
        end = connect(user, "--keep-open", path, stdin=b"hello\n")
    assert (end.status, end.out) == (0, b"HELLO\n"), end.err


def test_records_of_socat_come_and_go(user: User, place: str) -> None:
    path = f"{place}/s"
    with running(user, require("socat"), f"UNIX-LISTEN:{path},socktype=5,fork", "PIPE"):
        end = connect(user, path, stdin=b"one\ntwo\n")
    assert end.status == 0
    assert end.out.replace(b"\n", b"") == b"onetwo"  # its pipe does not keep records apart


class Upper(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


def test_python_s_socketserver_answers(user: User, place: str) -> None:
    path = f"{place}/s"
    with socketserver.UnixStreamServer(path, Upper) as server:
        os.chmod(path, 0o666)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            end = connect(user, path, stdin=b"one\ntwo")
        finally:
            server.shutdown()
            serving.join()
    assert (end.status, end.out) == (0, b"ONE\nTWO")
