"""A tap in a process of its own, as `tools.tap` runs it: for tests of what clients, servers and others see of it.

`tapping(path, …)` gives it once it is in front, and stops it with SIGTERM. Its settings are those of TapSettings. What it
tells is text: `told` has the events and notices so far, a line each, and `wait_for` waits for one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.faults.users import ME, User
from tests.program import PATIENCE_S, environment

_PROGRAM = """
import json, sys
from afunix.model.address import Address
from afunix.model.errors import AfunixError
from afunix.tools.tap import TapSettings, tap

def tell(value):
    print(repr(value), flush=True)

settings = json.loads(sys.argv[2])
if "listen" in settings:
    settings["listen"] = Address.parse(settings["listen"])
try:
    result = tap(
        TapSettings(Address.parse(sys.argv[1]), **settings),
        on_beginning=lambda beginning: tell,
        alerts=tell,
        on_unreachable=lambda channel, error: print("unreachable", error, flush=True),
        on_ready=lambda stop: print("IN FRONT", flush=True),
    )
except AfunixError as error:
    print(f"{type(error).__name__}: {error}", flush=True)
    sys.exit(1)
if result.fault is not None:
    raise result.fault
print("over", result.cause.name, result.left_behind, flush=True)
"""


class RunningTap:
    """`process` and, while it is in front, its guardian's `guardian_pid`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.told: list[str] = []
        self._has_told = threading.Condition()
        self._is_over = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._has_told:
                self.told.append(line.rstrip("\n"))
                self._has_told.notify_all()
        with self._has_told:
            self._is_over = True
            self._has_told.notify_all()

    def wait_for(self, *words: str) -> str:
        """The first line that has all of `words`."""
        deadline = time.monotonic() + PATIENCE_S
        with self._has_told:
            while True:
                for line in self.told:
                    if all(word in line for word in words):
                        return line
                left_s = deadline - time.monotonic()
                assert not self._is_over and left_s > 0, (words, self.told)
                self._has_told.wait(left_s)

    @property
    def guardian_pid(self) -> int:
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            return int(file.read().split()[0])

    def stop(self) -> None:
        self.process.terminate()
        self.wait()

    def kill(self, *, with_guardian: bool = False) -> None:
        """`kill -9`; the guardian first, so that it has no time to act: then the tap is stopped meanwhile."""
        if with_guardian:
            guardian = self.guardian_pid
            self.process.send_signal(signal.SIGSTOP)
            os.kill(guardian, signal.SIGKILL)
        self.process.kill()
        self.wait()

    def wait(self) -> None:
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


def start(
    path: str, argv: Sequence[str] = (), cwd: str | None = None, user: User = ME, **settings: Any
) -> RunningTap:
    """Not waited for: it may be in front, or have failed. `argv` is before the interpreter's name."""
    python = [*user.becoming(), _python_of(user)]
    return RunningTap(
        subprocess.Popen(
            [*argv, *python, "-c", _PROGRAM, path, json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            env=user.environment() if user.changes else environment(),
            cwd="/" if user.changes else cwd,
        )
    )


def _python_of(user: User) -> str:
    """That of the copy which he can read."""
    if not user.changes:
        return sys.executable
    return os.path.join(
        os.path.dirname(user.command()[0]), os.path.basename(os.path.realpath(sys.executable))
    )


@contextmanager
def tapping(path: str, **settings: Any) -> Iterator[RunningTap]:
    tap = start(path, **settings)
    try:
        tap.wait_for("IN FRONT")
        yield tap
        if tap.process.poll() is None:
            tap.stop()
    finally:
        if tap.process.poll() is None:
            tap.kill()
        tap.wait()


def refusal(path: str, **settings: Any) -> str:
    """Why it cannot be tapped."""
    tap = start(path, **settings)
    tap.wait()
    assert tap.process.returncode == 1, tap.told
    return tap.told[-1]


def wait_until(is_met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_met():
        assert time.monotonic() < deadline, "what was waited for does not happen"
        time.sleep(0.002)
