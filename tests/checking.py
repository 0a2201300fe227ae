"""For tests of `afunix check`: who asks, the report as an object, commands pasted into a shell, and servers to be found.

`report(user, ADDRESS…)` is the --json of a real run. `agrees` asks `connect` the same question: both must end alike.
`paste` runs a command as a person would, by `sh -c`. `Holder` is a process with a socket, in a namespace if wanted.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from tests.faults.users import User
from tests.program import PATIENCE_S, Ended, ended

PIPES: dict[str, Any] = {
    "stdin": subprocess.PIPE,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
}

_HOLD = """
import os, signal, socket, sys
kind, name, backlog, *more = sys.argv[1:]
sock = socket.socket(socket.AF_UNIX, getattr(socket, "SOCK_" + kind.upper()))
sock.bind("\\0" + name[1:] if name.startswith("@") else name)
if not name.startswith("@"):
    os.chmod(name, 0o666)
if int(backlog) >= 0:
    sock.listen(int(backlog))
print("ready", flush=True)
while True:
    connection, _ = sock.accept() if int(backlog) >= 0 else (signal.pause(), 0)
    connection.close()
"""


def check(user: User, *args: str, **options: Any) -> Ended:
    """`afunix check ARGS` by `user`."""
    return ended(user.start("check", *args, **{**PIPES, **options}), b"")


def report(user: User, *args: str, **options: Any) -> dict[str, Any]:
    """The report of that run; its status is the process's."""
    end = check(user, "--json", *args, **options)
    assert not end.err, end.err
    found: dict[str, Any] = json.loads(end.out)
    assert found["status"] == end.status
    return found


def agrees(user: User, *args: str, **options: Any) -> dict[str, Any]:
    """The report, after `connect` has been asked as well and ended with the same status."""
    found = report(user, *args, **options)
    words = ["connect", "--connect-timeout", "500ms", *args]
    assert ended(user.start(*words, **{**PIPES, **options}), b"").status == found["status"]
    return found


def codes(found: Mapping[str, Any]) -> list[str]:
    return [finding["code"] for finding in found["findings"]]


def finding(found: Mapping[str, Any], code: str) -> dict[str, Any]:
    """The finding with that code; the first one if there are several."""
    return next(one for one in found["findings"] if one["code"] == code)


def in_shell(
    user: User,
    script: str,
    *args: str,
    prefix: Sequence[str] = (),
    becomes: bool = True,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """`sh -c SCRIPT sh ARGS` with `afunix` on the PATH; without `becomes` with our own rights, though his Python."""
    if becomes and user.changes:
        options.update(user=user.uid, group=user.uid, extra_groups=[])
    program = user.command()
    found = {**user.environment(), **(env or {})}
    if len(program) == 1:
        folder = os.path.dirname(program[0])
        found["PATH"] = f"{folder}:{found['PATH']}:/usr/sbin:/sbin"
    else:  # not installed: as a module
        script = f'afunix() {{ "{program[0]}" -P -m afunix "$@"; }}\n{script}'
        found["PATH"] += ":/usr/sbin:/sbin"
    argv = [*prefix, "/bin/sh", "-c", script, "sh", *args]
    options = {**PIPES, "cwd": "/", "start_new_session": True, **options}
    return subprocess.Popen(argv, bufsize=0, env=found, **options)


def paste(user: User, command: str, **options: Any) -> Ended:
    """What comes of pasting `command` into a shell."""
    return finish(in_shell(user, command, **options))


def finish(shell: subprocess.Popen[bytes]) -> Ended:
    """Wait for the end of a shell and of what it started; too late, all of them are killed."""
    try:
        out, err = shell.communicate(b"", timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.communicate()
        raise
    return Ended(shell.returncode, out, err.decode("utf-8", "backslashreplace"))


class Holder:
    """A process that holds a socket: bound, listening with that backlog (-1: not), accepting all that come."""

    def __init__(
        self, address: str, *, kind: str = "stream", backlog: int = 16, prefix: Sequence[str] = ()
    ) -> None:
        argv = [*prefix, sys.executable, "-S", "-c", _HOLD, kind, address, str(backlog)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, bufsize=0)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """By a signal, as Ctrl-Z does; it is stopped when this returns."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def kill(self) -> None:
        """As the kernel does it: nothing is tidied up."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def __enter__(self) -> Holder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
