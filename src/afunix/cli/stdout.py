"""Data on STDOUT by a command that has it all at hand: in as few writes as it takes, whoever reads it.

A reader that left is nothing to talk about: the command ends as SIGPIPE would have ended it. Every other failure is
said, with status 1. (`serve` and `connect`, which must not wait for a reader, write through `kernel.output`.)
"""

from __future__ import annotations

import os
import select
import signal

from ..model.errors import errno_name
from .messages import plain, say_error


def write(text: str) -> int:
    """Write all of `text`; 0, or the status for the command to return. Waits for a slow reader, blocking or not."""
    data = memoryview(text.encode("utf-8", "backslashreplace"))
    while data:
        try:
            data = data[os.write(1, data) :]
        except BlockingIOError:
            _wait_for_room()
        except BrokenPipeError:
            return -signal.SIGPIPE
        except OSError as error:
            reason = f"{plain(error.strerror or str(error))} ({errno_name(error.errno)})"
            say_error(f"cannot write to STDOUT: {reason}")
            return 1
    return 0


def is_abandoned(within_s: float) -> bool:
    """Wait for `within_s`, or until the reader of STDOUT is gone; True if it is."""
    poller = select.poll()
    poller.register(1, 0)
    return bool(poller.poll(within_s * 1000))


def _wait_for_room() -> None:
    poller = select.poll()
    poller.register(1, select.POLLOUT)
    poller.poll()
