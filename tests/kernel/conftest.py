"""What tests of the kernel layer share: sockets that are closed for them, and processes of their own."""

from __future__ import annotations

import fcntl
import os
import pickle
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.kernel.stepping import Pair, stepped

from afunix.kernel import socket_file
from afunix.model.address import Address

NOBODY = 65534


@pytest.fixture
def new_socket() -> Iterator[Callable[..., socket.socket]]:
    """Makes Unix sockets that are closed at the end of the test."""
    with ExitStack() as stack:
        yield lambda kind=socket.SOCK_STREAM: stack.enter_context(socket.socket(socket.AF_UNIX, kind))


@pytest.fixture
def claim(new_socket: Callable[..., socket.socket]) -> Iterator[Callable[..., Any]]:
    """`socket_file.bind` for a path: a bound socket that does not listen yet, and its SocketFile."""
    with ExitStack() as stack:

        def bind(
            path: str | bytes, kind: int = socket.SOCK_STREAM, **options: Any
        ) -> tuple[socket.socket, socket_file.SocketFile]:
            sock = new_socket(kind)
            file = socket_file.bind(sock, Address.pathname(path), **options)
            assert file is not None
            stack.callback(file.close)
            return sock, file

        yield bind


@pytest.fixture
def stepped_pair() -> Iterator[Pair]:
    """Steps of a stream with little room, and the bare socket at its other end."""
    with stepped(accept_fds=2) as both:
        yield both


@pytest.fixture
def in_child() -> Callable[..., Any]:
    """Runs a function in a forked process, as another user if a `uid` is given, and returns what it returned."""
    return _run_in_child


@pytest.fixture
def as_ordinary_user(sock_dir: str) -> Callable[[Callable[[], Any]], Any]:
    """Runs a function in a process that is not root, and that `sock_dir` belongs to."""
    if os.getuid() != 0:
        return _run_in_child
    os.chown(sock_dir, NOBODY, NOBODY)
    return lambda function: _run_in_child(function, uid=NOBODY)


@pytest.fixture
def stale_path(sock_dir: str) -> str:
    """A path with what a server leaves behind when it is killed."""
    path = f"{sock_dir}/s"
    leave_stale(path)
    return path


def leave_stale(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()


def _run_in_child(function: Callable[[], Any], uid: int | None = None) -> Any:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        # Out of the way of tests that put their own descriptors at 3 and on.
        high = fcntl.fcntl(writer, fcntl.F_DUPFD_CLOEXEC, 100)
        _become(uid)
        with open(high, "wb") as result:
            result.write(pickle.dumps(_outcome(function)))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as result:
        answer = result.read()
    os.waitpid(pid, 0)
    kind, value = pickle.loads(answer)
    if kind == "failed":
        pytest.fail(f"in the child: {value}")
    return value


def _become(uid: int | None) -> None:
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def _outcome(function: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "returned", function()
    except BaseException as error:
        return "failed", f"{type(error).__name__}: {error}"
