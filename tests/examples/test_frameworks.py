"""Other people's servers on `bind_socket`: the programs of examples/frameworks, started as a service manager would."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.peers import require
from tests.program import PATIENCE_S, environment

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "frameworks")
PROGRAMS = sorted(name for name in os.listdir(FOLDER) if name.endswith(".py"))

Program = subprocess.Popen[str]
Start = Callable[..., Program]


def ask_http(path: str) -> str:
    command = [require("curl"), "--silent", "--show-error", "--max-time", "20", "--unix-socket", path]
    done = subprocess.run([*command, "http://localhost/"], capture_output=True, text=True, check=True)
    return done.stdout


def ask_line(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(path)
        client.sendall(b"hello\n")
        client.shutdown(socket.SHUT_WR)
        with client.makefile() as replies:
            return replies.read()


ASK = {"aiohttp_service.py": ask_http, "threading_server.py": ask_line, "uvicorn_service.py": ask_http}
REPLY = {
    "aiohttp_service.py": "hello from aiohttp\n",
    "threading_server.py": "HELLO\n",
    "uvicorn_service.py": "hello from uvicorn\n",
}
STATUS = {"aiohttp_service.py": 0, "threading_server.py": 0, "uvicorn_service.py": -signal.SIGTERM}


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@pytest.fixture
def start(path: str, sock_dir: str) -> Iterator[Start]:
    """Starts an example on `path` and waits until it says that it is ready, or has ended."""
    with ExitStack() as stack:
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.bind(f"{sock_dir}/notify")
        manager.settimeout(PATIENCE_S)

        def begin(name: str, *, fails: bool = False) -> Program:
            program = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "error", os.path.join(FOLDER, name), path],
                    env=environment(NOTIFY_SOCKET=f"{sock_dir}/notify"),
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(program.kill)
            if not fails:
                assert manager.recv(100) == b"READY=1"
            return program

        yield begin


def end(program: Program, number: int = signal.SIGTERM) -> tuple[int, str]:
    program.send_signal(number)
    words = program.communicate(timeout=PATIENCE_S)[1]
    return program.returncode, words


@pytest.mark.parametrize("name", PROGRAMS)
def test_clients_are_answered(start: Start, path: str, name: str) -> None:
    start(name)
    assert [ASK[name](path) for _ in range(2)] == [REPLY[name]] * 2


@pytest.mark.parametrize("name", PROGRAMS)
def test_only_owner_and_group_may_connect(start: Start, path: str, name: str) -> None:
    start(name)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660


@pytest.mark.parametrize("name", PROGRAMS)
def test_sigterm_ends_it_without_a_word_and_without_a_trace(start: Start, path: str, name: str) -> None:
    program = start(name)
    ASK[name](path)
    assert end(program) == (STATUS[name], "")
    assert not os.path.lexists(path)


@pytest.mark.parametrize("name", PROGRAMS)
def test_second_start_says_who_holds_the_path(start: Start, path: str, name: str) -> None:
    first = start(name)
    second = start(name, fails=True)
    words = second.communicate(timeout=PATIENCE_S)[1]
    assert second.returncode == 1
    assert f"{path!r} is in use: pid {first.pid} (" in words
    assert "Traceback" not in words
    assert ASK[name](path) == REPLY[name]


@pytest.mark.parametrize("name", PROGRAMS)
def test_start_after_kill_needs_no_help(start: Start, path: str, name: str) -> None:
    end(start(name), signal.SIGKILL)
    assert os.path.lexists(path)
    start(name)
    assert ASK[name](path) == REPLY[name]
