"""Becoming another program, with given descriptors at 3, 4, …: execve(2) in place, so that the pid stays.

Of what is ours nothing is left: the standard descriptors 0 to 2 and the given ones are all that is open. Signals that
Python ignores by itself are default again; those that whoever started us had ignored stay so (nohup), as with env(1).
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Mapping, Sequence
from typing import NoReturn

from .activation import FIRST_FD
from .spawning import keep_descriptors_from_children

_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def become(
    path: str, argv: Sequence[str], environment: Mapping[bytes, bytes], descriptors: Sequence[int]
) -> NoReturn:
    """Run the program `path` as this process, with `descriptors` from 3 on. They are close-on-exec, and ours.

    Raises:
        OSError: as execve(2): ENOENT, EACCES, ENOEXEC, E2BIG; or EMFILE. What was given is then still open, elsewhere.
    """
    keep_descriptors_from_children()
    put_in_order(descriptors)
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(path, list(argv), environment)
    except OSError:
        for number in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_IGN)
        raise


def put_in_order(descriptors: Sequence[int]) -> None:
    """Move `descriptors` to 3, 4, … and let a new program have them. What else had those numbers is closed.

    Raises:
        OSError: EMFILE.
    """
    waiting = list(descriptors)
    beyond = FIRST_FD + len(waiting)
    for index, target in enumerate(range(FIRST_FD, beyond)):
        if target in waiting[index + 1 :]:  # one that comes later is in the way
            other = waiting.index(target, index + 1)
            waiting[other] = fcntl.fcntl(target, fcntl.F_DUPFD_CLOEXEC, beyond)
        if waiting[index] == target:
            os.set_inheritable(target, True)
        else:
            os.dup2(waiting[index], target, inheritable=True)
            os.close(waiting[index])
