"""The tutorial's two programs, run as a reader of the README would: real processes, real descriptors."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

TUTORIAL = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "tutorial")
SERVER = os.path.join(TUTORIAL, "unix_server_socket.py")
CLIENT = os.path.join(TUTORIAL, "unix_client_socket.py")
WAITING = b"Waiting to accept a connection...\n"

Program = subprocess.Popen[bytes]


@contextmanager
def running_server(path: str) -> Iterator[Program]:
    """A server that listens on `path`; it is stopped by Ctrl-C unless the test did so."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, SERVER, path], stdout=pipe, stderr=pipe) as server:
        try:
            assert stream(server.stderr).readline() == b"Server socket fd = 3\n"
            assert stream(server.stderr).readline() == WAITING
            yield server
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGINT)


def run_client(path: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, CLIENT, path], input=data, capture_output=True, timeout=20)


def stream(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


@pytest.fixture
def path(sock_dir: str) -> str:
    return os.path.join(sock_dir, "hello.sock")


def test_clients_are_served_one_after_another_with_the_words_of_the_tutorial(path: str) -> None:
    with running_server(path) as server:
        clients = [run_client(path, data) for data in (b"hello\n", b"no newline")]
        server.send_signal(signal.SIGINT)
        out, words = server.communicate(timeout=20)
    assert [client.stderr for client in clients] == [b"Client socket fd = 3\n"] * 2
    assert [client.returncode for client in clients] == [0, 0]
    assert out == b"hello\nno newline"
    assert words == (b"Accepted socket fd = 4\n" + WAITING) * 2
    assert server.returncode == 0


def test_ctrl_c_removes_the_socket_file(path: str) -> None:
    with running_server(path) as server:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=20)
    assert not os.path.lexists(path)


def test_many_bytes_come_out_as_they_went_in(path: str, sock_dir: str) -> None:
    data = os.urandom(1 << 20)  # more than the pipe and the socket hold, so that both programs have to wait
    source = os.path.join(sock_dir, "data")
    with open(source, "wb") as file:
        file.write(data)
    client_command = [sys.executable, CLIENT, path]
    with (
        running_server(path) as server,
        open(source, "rb") as stdin,
        subprocess.Popen(client_command, stdin=stdin, stderr=subprocess.PIPE) as client,
    ):
        assert stream(server.stdout).read(len(data)) == data
        assert client.wait(timeout=20) == 0
        server.send_signal(signal.SIGINT)
        assert server.communicate(timeout=20)[0] == b""


def test_stale_socket_file_is_replaced(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
        killed.bind(path)
    with running_server(path) as server:
        assert run_client(path, b"hello\n").returncode == 0
        server.send_signal(signal.SIGINT)
        assert server.communicate(timeout=20)[0] == b"hello\n"


def test_live_server_keeps_its_path(path: str) -> None:
    with running_server(path) as server:
        second = subprocess.run([sys.executable, SERVER, path], capture_output=True, timeout=20)
        assert second.returncode != 0
        assert b"Address already in use" in second.stderr
        assert run_client(path, b"still there\n").returncode == 0
        server.send_signal(signal.SIGINT)
        assert server.communicate(timeout=20)[0] == b"still there\n"


def test_file_that_is_no_socket_stays(path: str) -> None:
    with open(path, "w") as file:
        file.write("precious")
    server = subprocess.run([sys.executable, SERVER, path], capture_output=True, timeout=20)
    assert server.returncode != 0
    with open(path) as file:
        assert file.read() == "precious"


def test_client_without_a_server_says_what_is_missing(path: str) -> None:
    client = run_client(path, b"hello\n")
    assert client.returncode == 1
    assert client.stderr == b"Client socket fd = 3\n" + os.fsencode(path) + b": No such file or directory\n"


@pytest.mark.parametrize("program", [SERVER, CLIENT])
def test_program_is_short_and_needs_the_standard_library_alone(program: str) -> None:
    with open(program) as file:
        source = file.read()
    assert len(source.splitlines()) < 40
    imported = {
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names
    assert "ImportFrom" not in ast.dump(ast.parse(source))
