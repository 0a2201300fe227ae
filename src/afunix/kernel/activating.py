"""A command that is handed sockets as systemd hands them over (sd_listen_fds(3)): the sending side of `activation`.

LISTEN_PID is the pid of who is meant, which nobody knows before fork(2); so this is a fork and an exec, not the
posix_spawn of `spawning`. What else the child gets is as there: default signals, an empty mask, the soft limit of
descriptors, a process group of its own; 0 is /dev/null, 1 and 2 are ours, the sockets are 3 and so on, and nothing else
is open. When a command is started, and who waits for it, is not known here.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
from collections.abc import Mapping, Sequence
from typing import NoReturn

from ..model.descriptor_names import join_names
from .activation import FIRST_FD
from .becoming import put_in_order
from .spawning import Command

_ALL_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_THE_C_LIBRARYS = range(32, 34)
_ERRNO_BYTES = 16


class ActivatedCommand(Command):
    """What is started with sockets of these `names`, one each (LISTEN_FDNAMES)."""

    numbers = (FIRST_FD,)

    def __init__(self, argv: Sequence[str], soft_limit: int | None = None, *, names: Sequence[str]) -> None:
        """As `Command`. Each is a name as in `model.descriptor_names`; that is its giver's to see to."""
        super().__init__(argv, soft_limit)
        self._names = tuple(names)

    def start(self, fd: int, environment: Mapping[bytes, bytes]) -> int:
        """The pid of a child that has been handed this one connection, which blocks from now on; see `start_with`."""
        os.set_blocking(fd, True)
        return self.start_with((fd,), environment)

    def start_with(self, fds: Sequence[int], environment: Mapping[bytes, bytes]) -> int:
        """The pid of a child that has `fds`, which stay the caller's, from 3 on; when this returns it has begun.

        For a process with one thread: others' locks would stay taken in the child until it has begun.

        Raises:
            OSError: as pipe(2) and fork(2): EMFILE, EAGAIN, ENOMEM; and as execve(2): ENOENT, EACCES, ENOEXEC, E2BIG.
        """
        told, tell = os.pipe()
        # A handler of ours in the child would write to the pipe that wakes our loop.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._become(fds, environment, tell)
        except BaseException:
            os.close(told)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(tell)
        with open(told, "rb") as report:
            failed = report.read(_ERRNO_BYTES)
        if failed:
            os.waitpid(pid, 0)
            raise OSError(int(failed), os.strerror(int(failed)))
        return pid

    # In the child

    def _become(self, fds: Sequence[int], environment: Mapping[bytes, bytes], tell: int) -> NoReturn:
        """Tells by `tell` why it could not; it is closed by an exec(2)."""
        try:
            tell = fcntl.fcntl(tell, fcntl.F_DUPFD_CLOEXEC, FIRST_FD + len(fds))
            os.setpgid(0, 0)
            put_in_order(fds)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            _take_limit(self._soft_limit)
            _forget_signals()
            os.execve(self.path, self._argv, {**environment, **self._announcement()})
        except OSError as error:
            os.write(tell, str(error.errno).encode())
        finally:
            while True:  # without a word to anybody: what is buffered, and what runs at exit, is the parent's
                os.kill(os.getpid(), signal.SIGKILL)

    def _announcement(self) -> dict[bytes, bytes]:
        return {
            b"LISTEN_PID": str(os.getpid()).encode(),
            b"LISTEN_FDS": str(len(self._names)).encode(),
            b"LISTEN_FDNAMES": join_names(self._names).encode(),
        }


def _take_limit(soft: int | None) -> None:
    if soft is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def _forget_signals() -> None:
    for number in _ALL_SIGNALS:
        if number not in _THE_C_LIBRARYS:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def is_shut_down(fd: int) -> bool:
    """Has anybody who holds this socket ended its receiving (SHUT_RD)? To a listener nobody can connect then, while
    SO_ACCEPTCONN goes on saying that it listens.
    """
    poll = select.poll()
    poll.register(fd, select.POLLRDHUP)
    return bool(poll.poll(0))
