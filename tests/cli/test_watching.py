"""`ls --watch`: signs for what came, went and changed; on a terminal in its place, and the terminal as it was."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.program import PATIENCE_S, command, environment, start

from afunix.cli import watching

QUICK = ("ls", "--watch", "--interval", "50ms")


class Screen:
    """A terminal of so many columns and lines, and the pictures that were drawn on it."""

    def __init__(self, *args: str, columns: int = 100, lines: int = 20) -> None:
        self.controller, terminal = os.openpty()
        self.resize(columns, lines)
        self.written = ""
        self.process = subprocess.Popen(
            command(*args),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment(TERM="xterm", NO_COLOR="1"),
            start_new_session=True,
        )
        self._terminal = terminal

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.controller, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    def wait_for(self, pattern: str) -> list[str]:
        """The lines of the next picture that has it."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            begun = self.written.find(watching._HOME)
            ended = self.written.find(watching._END, begun)
            if ended >= 0:
                picture, self.written = self.written[begun:ended], self.written[ended:]
                lines = re.sub("\x1b\\[[0-9?]*[A-Za-z]|\r", "", picture).split("\n")
                if any(re.search(pattern, line) for line in lines):
                    return lines
            elif not self._read():
                break
        raise AssertionError(f"no picture with {pattern!r}; written: {self.written!r}")

    def _read(self) -> bool:
        if not select.select([self.controller], [], [], PATIENCE_S)[0]:
            return False
        try:
            self.written += os.read(self.controller, 1 << 16).decode()
        except OSError:
            return False
        return True

    def close(self) -> None:
        os.close(self.controller)
        os.close(self._terminal)

    @property
    def echoes(self) -> bool:
        """Are keys shown on the terminal?"""
        return bool(termios.tcgetattr(self._terminal)[3] & termios.ECHO)

    def end(self) -> int:
        status = self.process.wait(PATIENCE_S)
        while select.select([self.controller], [], [], 0)[0] and self._read():
            pass
        return status


@contextmanager
def screen(*args: str, columns: int = 100, lines: int = 20) -> Iterator[Screen]:
    shown = Screen(*args, columns=columns, lines=lines)
    try:
        yield shown
    finally:
        shown.process.kill()
        shown.process.wait()
        shown.close()


@pytest.fixture
def listener(sock_dir: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        sock.listen(50)
        yield sock


def client(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


# -- on a terminal


def test_what_comes_changes_and_goes_has_its_sign(listener: socket.socket, sock_dir: str) -> None:
    with screen(*QUICK, sock_dir) as shown:
        first = shown.wait_for("listening")
        assert re.search(r"\d\d:\d\d:\d\d  1 row, every 0.05 s$", first[0])
        with client(f"{sock_dir}/s") as sock:
            shown.wait_for(r"^\+  queued")
            accepted, _ = listener.accept()
            with accepted:
                shown.wait_for(r"^\+  connected")
                sock.send(b"x" * 2000)
                shown.wait_for(r"^~  connected .*→2.0K")
        shown.wait_for(r"^-  connected")
        assert len(shown.wait_for("1 row")) == 3


def test_a_picture_has_no_more_lines_than_the_terminal(listener: socket.socket, sock_dir: str) -> None:
    clients = [client(f"{sock_dir}/s") for _ in range(20)]
    with screen(*QUICK, sock_dir, lines=10) as shown:
        lines = shown.wait_for(r"\(14 more rows than fit here\)")
        assert len(lines) == 10
    for sock in clients:
        sock.close()


def test_a_row_with_a_sign_is_shown_though_it_would_not_fit(listener: socket.socket, sock_dir: str) -> None:
    clients = [client(f"{sock_dir}/s") for _ in range(20)]
    with screen(*QUICK, sock_dir, lines=8) as shown:
        shown.wait_for("more rows")
        clients.append(client(f"{sock_dir}/s"))
        assert len(shown.wait_for(r"^\+  queued")) == 8
    for sock in clients:
        sock.close()


def test_no_line_is_as_wide_as_the_terminal(listener: socket.socket, sock_dir: str) -> None:
    with screen(*QUICK, sock_dir, columns=40) as shown:
        assert max(map(len, shown.wait_for("listening"))) < 40


def test_another_size_is_another_picture_at_once(listener: socket.socket, sock_dir: str) -> None:
    with screen("ls", "--watch", "--interval", "1h", sock_dir) as shown:
        shown.wait_for(re.escape(f"{sock_dir}/s"))
        shown.resize(30, 10)
        os.kill(shown.process.pid, signal.SIGWINCH)
        assert max(map(len, shown.wait_for("listening"))) < 30


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1]
)
def test_a_signal_ends_it_and_the_terminal_is_as_it_was(
    number: int, listener: socket.socket, sock_dir: str
) -> None:
    with screen("ls", "--watch", "--interval", "1h", sock_dir) as shown:
        shown.wait_for("listening")
        os.kill(shown.process.pid, number)
        assert shown.end() == -number
        assert shown.written.endswith(watching._LEAVE)
        assert shown.echoes


def test_keys_are_not_echoed_into_the_picture(listener: socket.socket, sock_dir: str) -> None:
    with screen("ls", "--watch", "--interval", "1h", sock_dir) as shown:
        assert shown.echoes
        shown.wait_for("listening")
        assert not shown.echoes


def test_a_stop_gives_the_terminal_back_and_going_on_takes_it_again(
    listener: socket.socket, sock_dir: str
) -> None:
    with screen("ls", "--watch", "--interval", "1h", sock_dir) as shown:
        shown.wait_for("listening")
        os.kill(shown.process.pid, signal.SIGTSTP)
        _, status = os.waitpid(shown.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        os.kill(shown.process.pid, signal.SIGCONT)
        shown.wait_for("listening")


def test_an_empty_list_is_waited_with(sock_dir: str) -> None:
    with screen(*QUICK, "-l", sock_dir) as shown:
        shown.wait_for("0 rows")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"{sock_dir}/s")
            sock.listen()
            shown.wait_for(r"^\+  listening")


def test_a_tree_has_signs_too(listener: socket.socket, sock_dir: str) -> None:
    with screen(*QUICK, "--tree", sock_dir) as shown:
        shown.wait_for("listening")
        with client(f"{sock_dir}/s"):
            shown.wait_for(r"^\+  └─ ")


# -- elsewhere


@contextmanager
def watching_lines(*args: str) -> Iterator[subprocess.Popen[bytes]]:
    with start(*QUICK, *args, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], PATIENCE_S)[0]
    return process.stdout.readline().decode()


def test_lines_are_the_list_and_then_only_changes(listener: socket.socket, sock_dir: str) -> None:
    with watching_lines(sock_dir) as process:
        assert re.match(r"\d{4}-\d\d-\d\dT[0-9:.]+Z =  listening  stream  ", next_line(process))
        with client(f"{sock_dir}/s"):
            told = [next_line(process) for _ in range(2)]  # a table is no snapshot: in one look or in two
            assert {re.sub(".*Z (.  [a-z]+).*\n", r"\1", line) for line in told} == {
                "+  queued",
                "~  listening",
            }
        listener.close()
        assert "Z -  " in next_line(process)


def test_json_says_the_change_as_a_word(listener: socket.socket, sock_dir: str) -> None:
    with watching_lines("--json", sock_dir) as process:
        assert json.loads(next_line(process))["change"] == "present"
        with client(f"{sock_dir}/s"):
            told = [json.loads(next_line(process)) for _ in range(2)]
            assert {(row["change"], row["state"]) for row in told} == {
                ("came", "queued"),
                ("changed", "listening"),
            }


def test_a_reader_that_left_ends_it_though_nothing_changes(listener: socket.socket, sock_dir: str) -> None:
    with start("ls", "--watch", "--interval", "1h", sock_dir, stderr=subprocess.PIPE) as process:
        next_line(process)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.wait(PATIENCE_S) == -signal.SIGPIPE
        assert process.stderr.read() == b""
