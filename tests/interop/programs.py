"""The other programs, run as the same user as afunix."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.faults.users import User
from tests.program import PATIENCE_S, Ended, ended


def identity_of(user: User) -> dict[str, Any]:
    """What Popen needs to become `user`."""
    return {"user": user.uid, "group": user.uid, "extra_groups": []} if user.changes else {}


def begin(user: User, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    for name in ("stdin", "stdout", "stderr"):
        options.setdefault(name, subprocess.PIPE)
    return subprocess.Popen(argv, bufsize=0, cwd="/", **identity_of(user), **options)


def run(user: User, *argv: str, stdin: bytes = b"") -> Ended:
    """One of the others, to its end."""
    return ended(begin(user, argv), stdin)


def connect(user: User, *args: str, stdin: bytes = b"") -> Ended:
    """`afunix connect`, which waits for its server."""
    process = user.start(
        *("connect", "--wait", f"{PATIENCE_S:g}s", *args),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return ended(process, stdin)


@contextmanager
def running(user: User, *argv: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A server of the others; stopped at the end, with all that it started."""
    process = begin(user, argv, stderr=subprocess.DEVNULL, start_new_session=True, **options)
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass  # it has ended by itself
        process.communicate(timeout=PATIENCE_S)
