"""An example as a process of its own, started as a person would: `running("chat.py", path)`; every wait has a limit.

Warnings are errors there, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.program import PATIENCE_S, Ended, ended, environment

import afunix

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "examples")

Program = subprocess.Popen[bytes]


def start(name: str, *arguments: str) -> Program:
    command = [sys.executable, "-W", "error", os.path.join(FOLDER, name), *arguments]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED="1"),
    )


@contextmanager
def running(name: str, *arguments: str) -> Iterator[Program]:
    """It runs; at the end it is killed, unless it was ended before."""
    program = start(name, *arguments)
    try:
        yield program
    finally:
        if program.poll() is None:
            program.kill()
        program.communicate()


def run(name: str, *arguments: str) -> Ended:
    """Run it to its end."""
    return ended(start(name, *arguments))


def stop(program: Program, number: int = signal.SIGTERM) -> Ended:
    """End it by a signal; what is left of it."""
    program.send_signal(number)
    return ended(program)


def client(path: str) -> afunix.blocking.Stream:
    """Somebody who is connected, once the server is there."""
    return afunix.blocking.connect(path, timeout=PATIENCE_S, wait=PATIENCE_S)


def ask(path: str, words: bytes = b"hello\n") -> bytes:
    """The line that a new client is answered."""
    with client(path) as stream:
        stream.send(words)
        return stream.receive_until(b"\n")


def until(is_met: Callable[[], bool]) -> None:
    """Look again and again until it is."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_met():
        assert time.monotonic() < deadline, "what was waited for does not happen"
        time.sleep(0.005)
