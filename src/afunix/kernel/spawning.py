"""A command for one client: a process with the socket on its 0 and 1, our STDERR, and nothing else of ours.

posix_spawn(3), which shares our memory until exec(2) (CLONE_VFORK), so that its price does not grow with us. The child has
default signals, an empty mask, the soft limit of descriptors that we were started with, and a process group of its own,
so that a stop reaches what it has started, and a terminal's Ctrl-C only us. Who waits for it is not known here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

from ..model.errors import AfunixError, DeniedError, errno_name
from ..model.escaping import quote
from ..model.shell_words import shell_line

_STANDARD = 3
_LONGEST_FIRST_LINE = 256  # BINPRM_BUF_SIZE


class Command:
    """What is started for each client, with the socket as its descriptors `numbers`. `path` is found once, so that a wrong
    name is told before anybody waits.
    """

    numbers: tuple[int, ...] = (0, 1)

    def __init__(self, argv: Sequence[str], soft_limit: int | None = None) -> None:
        """`soft_limit` of descriptors for the child; None: ours. Signals that are ignored from now on are so there, too.

        Raises:
            AfunixError: there is no such command, or it may not be executed.
        """
        self.path = _find(argv[0])
        self._argv = list(argv)
        self._soft_limit = soft_limit
        self._ignored = _ignored_signals()

    def start(self, fd: int, environment: Mapping[bytes, bytes]) -> int:
        """The pid of a child with the socket `fd`, which stays the caller's, on its 0 and 1. It blocks from now on, as a
        program expects of its STDIN: the flag is one for all who have it open.

        Raises:
            OSError: as posix_spawn(3): EAGAIN, ENOMEM; and as execve(2): ENOENT, EACCES, ENOEXEC, E2BIG.
        """
        os.set_blocking(fd, True)
        with _SoftLimit(self._soft_limit):
            return os.posix_spawn(
                self.path,
                self._argv,
                environment,
                file_actions=((os.POSIX_SPAWN_DUP2, fd, 0), (os.POSIX_SPAWN_DUP2, fd, 1)),
                setpgroup=0,
                setsigmask=(),
                setsigdef=self._ignored,
            )


def _ignored_signals() -> list[int]:
    """What exec(2) would leave ignored; whatever has a handler it resets itself. Each named one costs a call in each child:
    all of them a sixth of its price.
    """
    return [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]


class _SoftLimit:
    """RLIMIT_NOFILE as it shall be in a child: what is open beyond it stays open. One thread at a time."""

    def __init__(self, soft: int | None) -> None:
        self._wanted = soft
        self._before: tuple[int, int] | None = None

    def __enter__(self) -> None:
        if self._wanted is None:
            return
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limits[0] != self._wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._wanted, limits[1]))
            self._before = limits

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._before)


def keep_descriptors_from_children() -> None:
    """What was inherited from whoever started us is not for those whom we start."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd >= _STANDARD:
            with suppress(OSError):  # the directory's own is closed by now
                fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)


def _find(name: str) -> str:
    """As execvp(3) looks for it, but at once and for good."""
    candidates = (
        [name] if os.sep in name else [os.path.join(place or os.curdir, name) for place in os.get_exec_path()]
    )
    number = errno.ENOENT
    for path in candidates:
        if os.path.isdir(path):
            number = errno.EISDIR if number == errno.ENOENT and os.sep in name else number
        elif os.access(path, os.X_OK):
            _must_have_an_interpreter(path)
            return path
        elif os.path.exists(path):
            number = errno.EACCES
    if number == errno.ENOENT and os.sep in name:
        _must_be_reachable(name)
    raise _explain(name, number)


def _must_be_reachable(path: str) -> None:
    """What cannot be looked at may be there all the same."""
    try:
        os.stat(path)
    except PermissionError as error:
        raise DeniedError(
            f"{quote(path)} cannot be reached ({errno_name(error.errno)}): expected directories that may be entered",
            hint=f"{shell_line('namei', '-l', path)} shows who may enter them",
            errno=error.errno,
        ) from None
    except OSError:
        pass  # there is none


def _must_have_an_interpreter(path: str) -> None:
    """A script names what runs it. execve(2) runs none that does not; a shell would, and guess that it is for a shell."""
    try:
        with open(path, "rb") as file:
            start = file.read(_LONGEST_FIRST_LINE)
    except OSError:
        return  # may be executed, but not be read
    if not start.startswith(b"#!"):
        if b"\0" not in start and start.isascii():  # a text; what is binary the kernel may know (binfmt_misc)
            raise AfunixError(
                f"{quote(path)} is no program and does not say what runs it (ENOEXEC): expected '#!' in its first line",
                hint="write #!/bin/sh into the first line of a shell script",
                errno=errno.ENOEXEC,
            )
        return
    words = start[2:].split(b"\n")[0].split()
    if not words or not os.path.exists(words[0]):
        shown = quote(os.fsdecode(words[0] if words else b""))
        raise AfunixError(
            f"{quote(path)} is a script for {shown}, which does not exist (ENOENT): expected a program that does",
            hint="correct its first line",
            errno=errno.ENOENT,
        )


def _explain(name: str, number: int) -> AfunixError:
    if number == errno.EACCES:
        return DeniedError(
            f"{quote(name)} may not be executed ({errno_name(number)}): expected a program with the x bit",
            hint=shell_line("chmod", "+x", name),
            errno=number,
        )
    what = "is a directory" if number == errno.EISDIR else "is no command that can be found"
    return AfunixError(
        f"{quote(name)} {what} ({errno_name(number)}): expected a program, by its path or on the PATH",
        hint="a command stands after '--', each of its words by itself; a pipeline is 'sh -c …'",
        errno=number,
    )
