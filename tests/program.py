"""`afunix` as a process of its own: what a test starts when descriptors, signals and statuses are the matter.

`run` waits for the end; `start` gives the process, whose `ended` reads both pipes to their end; `ready` gives one that
takes clients. Every wait has a limit that only a failure reaches.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any

PATIENCE_S = 20.0
"""Longer than anything here takes on a busy machine."""

_SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src")


@dataclass(frozen=True)
class Ended:
    """What is left of a process: its status (negative: a signal's number), STDOUT, and STDERR as text."""

    status: int
    out: bytes
    err: str


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "afunix", *args]


def environment(**changes: str) -> dict[str, str]:
    """That of the tests, without what would change the words (colour, debugging)."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AFUNIX_", "LISTEN_", "NO_COLOR"))}
    paths = [_SOURCES, *kept.get("PYTHONPATH", "").split(os.pathsep)]
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **changes}


def start(
    *args: str,
    stdin: int | IO[Any] | None = subprocess.PIPE,
    stdout: int | IO[Any] | None = subprocess.PIPE,
    stderr: int | IO[Any] | None = subprocess.PIPE,
    env: dict[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    cwd: str | None = None,
    shell_prefix: str = "",
) -> subprocess.Popen[bytes]:
    """Start `afunix ARGS`. `shell_prefix` is shell text around it with `"$@"` in its place, e.g. `"$@" >&-`."""
    argv = command(*args)
    if shell_prefix:
        argv = ["/bin/sh", "-c", shell_prefix, "sh", *argv]
    return subprocess.Popen(
        argv,
        bufsize=0,  # nothing is read ahead of what a test asks for
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=env if env is not None else environment(),
        pass_fds=tuple(pass_fds),
        cwd=cwd,
    )


def ended(process: subprocess.Popen[bytes], stdin: bytes | None = None) -> Ended:
    """Give it `stdin` (None: leave that pipe alone, but close it), and wait for its end."""
    try:
        out, err = process.communicate(stdin, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Ended(process.returncode, out or b"", (err or b"").decode("utf-8", "backslashreplace"))


def run(*args: str, stdin: bytes = b"", **options: Any) -> Ended:
    """Run `afunix ARGS` to its end."""
    return ended(start(*args, **options), stdin)


def run_on(stdin: int | IO[Any], *args: str, **options: Any) -> Ended:
    """The same with an open descriptor as STDIN."""
    process = start(*args, stdin=stdin, **options)
    return ended(process)


@contextmanager
def ready(*args: str, prefix: tuple[str, ...] = (), **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """`afunix ARGS`, from the moment on in which clients can connect; killed if the test has not stopped it."""
    with ExitStack() as stack:
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.bind("")
        manager.settimeout(PATIENCE_S)
        name = f"@{manager.getsockname()[1:].decode()}"
        process = subprocess.Popen(
            [*prefix, *command(*args)],
            bufsize=0,
            env=environment(NOTIFY_SOCKET=name),
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
        )
        stack.callback(end_for_good, process)
        try:
            assert manager.recv(100) == b"READY=1"
        except TimeoutError:
            process.kill()
            raise AssertionError(f"it does not get ready: {ended(process)}") from None
        yield process


def end_for_good(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> Ended:
    process.send_signal(number)
    return ended(process)
