"""The end of file for a child that has a socket which we have closed: its copy is borrowed for one shutdown(2).

pidfd_getfd(2), Linux 5.6; a child of ours may be asked as long as it is our user's and lets itself be looked at
(ptrace(2), PTRACE_MODE_ATTACH: not a set-user-ID program). Python has no name for it. When that is right is not decided
here.
"""

from __future__ import annotations

import ctypes
import os
import socket
from contextlib import closing

from .fallbacks import is_forced
from .wrapping import as_plain_socket, as_socket

_STDERR = 2
_PIDFD_GETFD = 438  # the same on every architecture, as all calls since Linux 5.0


def identity_of(fd: int) -> tuple[int, int]:
    """What stays the same in every process that has this socket open, and is no other socket's meanwhile."""
    file = os.fstat(fd)
    return file.st_dev, file.st_ino


def can_end_input() -> bool:
    """May this process borrow descriptors at all? Some seccomp filters refuse it."""
    if is_forced("getfd"):
        return False
    try:
        os.close(_copy_of(os.getpid(), _STDERR))
    except OSError:
        return False
    return True


def end_input(pid: int, number: int, identity: tuple[int, int]) -> bool:
    """Refuse the client of child `pid` more than it has sent by now: SHUT_RD on the socket that is the child's descriptor
    `number`, if that is `identity`'s. Its client's next write fails with EPIPE, and the child reads what is there, then
    the end.

    `pid` must not have been waited for. False: that could not be done, or the descriptor is something else by now.
    """
    try:
        borrowed = _copy_of(pid, number)
    except OSError:
        return False
    if identity_of(borrowed) != identity:
        os.close(borrowed)
        return False
    with closing(as_plain_socket(as_socket(borrowed, socket.SOCK_STREAM, socket.AF_UNIX))) as sock:
        try:
            sock.shutdown(socket.SHUT_RD)
        except OSError:
            return False  # ENOTCONN: there is nobody on the other side any more
    return True


def _copy_of(pid: int, number: int) -> int:
    process = os.pidfd_open(pid)
    try:
        copy = int(
            ctypes.CDLL(None, use_errno=True).syscall(
                ctypes.c_long(_PIDFD_GETFD), ctypes.c_int(process), ctypes.c_int(number), ctypes.c_uint(0)
            )
        )
    finally:
        os.close(process)
    if copy < 0:
        failed = ctypes.get_errno()
        raise OSError(failed, os.strerror(failed))
    return copy
