"""`afunix serve --exec` with a handler, and how a test talks to it and looks at what it started."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from tests.faults.running import Serve, connected, until
from tests.faults.users import User
from tests.servers import read_all


def serving(user: User, path: str, *argv: str, options: Sequence[str] = (), **others: Any) -> Serve:
    """`serve --exec OPTIONS PATH -- ARGV` as `user`, ready when the `with` is entered."""
    return Serve(user, "--exec", *options, path, "--", *argv, **others)


def script(user: User, path: str, text: str, *options: str, **others: Any) -> Serve:
    """The same with a shell's text as the command."""
    return serving(user, path, "/bin/sh", "-c", text, options=options, **others)


def exchange(path: str, data: bytes = b"", kind: int = socket.SOCK_STREAM) -> bytes:
    """A client that sends `data` and half-closes; all that it is answered."""
    with connected(path, kind) as client:
        if data:  # the other may have ended already: sending nothing would fail, too
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return read_all(client)


def python_of(user: User) -> str:
    """A Python that `user` may run."""
    python = os.path.realpath(sys.executable)
    if not user.changes:
        return python
    return os.path.join(os.path.dirname(user.command()[0]), os.path.basename(python))


def children(pid: int) -> list[int]:
    """The children of a process with one thread, those that it has not waited for included."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def wait_childless(pid: int) -> None:
    until(lambda: not children(pid), "no child left, dead or alive")


def is_alive(pid: int) -> bool:
    """Does it run? What has ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def end(pid: int) -> None:
    if is_alive(pid):
        os.kill(pid, signal.SIGKILL)
