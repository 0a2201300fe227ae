"""A command that is handed sockets as systemd hands them over (sd_listen_fds(3)): the sending side of `activation`.

LISTEN_PID is the pid of who is meant, which nobody knows before fork(2); so this is a fork and an exec, not the
posix_spawn of `spawning`. What else the child gets is as there: default signals, an empty mask, the soft limit of
descriptors, a process group of its own; 0 is /dev/null, 1 and 2 are ours, the sockets are 3 and so on, and nothing else
is open. When a command is started, and who waits for it, is not known here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import signal
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from ..model.descriptor_names import join_names
from .activation import FIRST_FD
from .becoming import put_in_order
from .spawning import Command

_ALL_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_THE_C_LIBRARYS = range(32, 34)
_ERRNO_BYTES = 16

_BEGINS_WITHIN_S = 10.0
"""A child that has not come as far as exec(2) by then never will, or not before everybody has given up."""


class ActivatedCommand(Command):
    """What is started with sockets of these `names`, one each (LISTEN_FDNAMES): they may be set until its first start."""

    numbers = (FIRST_FD,)

    def __init__(
        self, argv: Sequence[str], soft_limit: int | None = None, *, names: Sequence[str] = ()
    ) -> None:
        """As `Command`. Each is a name as in `model.descriptor_names`; that is its giver's to see to."""
        super().__init__(argv, soft_limit)
        self.names = tuple(names)

    def start(self, fd: int, environment: Mapping[bytes, bytes]) -> int:
        """The pid of a child that has been handed this one connection, which blocks from now on; see `start_with`."""
        os.set_blocking(fd, True)
        return self.start_with((fd,), environment)

    def start_with(self, fds: Sequence[int], environment: Mapping[bytes, bytes]) -> int:
        """The pid of a child that has `fds`, which stay the caller's, from 3 on; when this returns it has begun.

        Raises:
            OSError: as pipe(2) and fork(2): EMFILE, EAGAIN, ENOMEM; and as execve(2): ENOENT, EACCES, ENOEXEC, E2BIG.
                EAGAIN also for a child that has not begun within 10 s: it is gone then.
        """
        told, tell = os.pipe()
        # A handler of ours in the child would write to the pipe that wakes our loop.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
        try:
            pid = _fork()
            if pid == 0:
                self._become(fds, environment, tell)
        except BaseException:
            os.close(told)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(tell)
        number = _await_report(told)
        if number:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):  # where SIGCHLD is ignored it is gone already
                os.waitpid(pid, 0)
            raise OSError(number, os.strerror(number))
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
            b"LISTEN_FDS": str(len(self.names)).encode(),
            b"LISTEN_FDNAMES": join_names(self.names).encode(),
        }


def _fork() -> int:
    """fork(2), also where other threads run, such as one that accepts on a listener that blocks: until its exec(2) the
    child only calls the kernel, and takes no lock but those that CPython and the C library make new in it. So what Python
    warns of from 3.12 on does not concern it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        return os.fork()


def _await_report(told: int) -> int:
    """The errno that a child reports, 0 if it has begun; EAGAIN if neither has come in time. Closes `told`."""
    with open(told, "rb", buffering=0) as report:
        poll = select.poll()
        poll.register(report, select.POLLIN)
        if not poll.poll(_BEGINS_WITHIN_S * 1000):
            return errno.EAGAIN
        return int(report.read(_ERRNO_BYTES) or b"0")


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
