"""Starts `clients.py`: somebody of another uid who connects, knocks or squats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.program import PATIENCE_S

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients.py")


def begin(act: str, uid: int, *args: str, groups: Iterable[int] = ()) -> subprocess.Popen[bytes]:
    """STDIN is a pipe: `finish` ends it."""
    argv = [sys.executable, "-I", _PROGRAM, act, str(uid), ",".join(map(str, groups)), *args]
    return subprocess.Popen(argv, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@contextmanager
def running(act: str, uid: int, *args: str, groups: Iterable[int] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """It is killed at the end, if it has not ended."""
    process = begin(act, uid, *args, groups=groups)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def squatting(uid: int, path: str) -> Iterator[subprocess.Popen[bytes]]:
    """Entered once it listens."""
    with listening("squat", uid, path) as process:
        yield process


@contextmanager
def listening(act: str, uid: int, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """An act that says when it listens, entered then."""
    with running(act, uid, *args) as process:
        assert process.stdout is not None
        assert process.stdout.read(8) == b'"ready"\n'
        yield process


def finish(process: subprocess.Popen[bytes], patience_s: float = PATIENCE_S * 3) -> Any:
    """End its STDIN, wait for its end; what it found out."""
    out, _ = process.communicate(timeout=patience_s)
    assert process.returncode == 0
    return json.loads(out) if out else None


def act(act: str, uid: int, *args: str, groups: Iterable[int] = ()) -> Any:
    with running(act, uid, *args, groups=groups) as process:
        return finish(process)
