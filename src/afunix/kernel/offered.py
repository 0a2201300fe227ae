"""Descriptors that are to be sent: those that we were started with, and paths opened for it.

Numbers are looked at before anything is opened, so that none is taken for one that we have opened ourselves. A file is
emptied only once there is somebody to have it. What is sent is borrowed from here until `close`. How a FIFO is waited for
is not known here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Sequence

from ..model.errors import AddressError, AfunixError, DeniedError, TimedOutError, errno_name
from ..model.escaping import quote
from ..model.offer import Access, Offer

_FLAGS = {
    Access.READ: os.O_RDONLY,
    Access.WRITE: os.O_WRONLY | os.O_CREAT,
    Access.APPEND: os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    Access.READ_WRITE: os.O_RDWR | os.O_CREAT,
}

_MODE = 0o666
"""The umask is the person's."""


class Offered:
    """`fds` in the order of the offers, once `open` has been called. Owns what it opens; use it with `closing`."""

    def __init__(
        self, offers: Sequence[Offer], access: Access, closed_at_start: Collection[int] = ()
    ) -> None:
        """Call it before anything else of ours is opened.

        Raises:
            AddressError: a number that was not open when we were started.
        """
        for offer in offers:
            if offer.number is not None:
                _must_be_open(offer.number, closed_at_start)
        self.fds: list[int] = []
        self._offers = offers
        self._access = access
        self._opened: list[int] = []

    def open(self, open_file: Callable[[str, int, int], int] = os.open) -> None:
        """Open the paths, with `open_file(path, flags, mode)`; os.open waits for the other end of a FIFO, as the shell does.

        Raises:
            AddressError: a path that is a socket.
            DeniedError, AfunixError: a path that cannot be opened. Otherwise as `open_file`.
        """
        for offer in self._offers:
            self.fds.append(self._open(offer.path, open_file) if offer.number is None else offer.number)

    def _open(self, path: str, open_file: Callable[[str, int, int], int]) -> int:
        try:
            fd = open_file(path, _FLAGS[self._access] | os.O_CLOEXEC | os.O_NOCTTY, _MODE)
        except TimedOutError:
            raise  # an OSError too, but whoever waited has said all
        except OSError as error:
            raise _cannot_open(path, self._access, error) from None
        except ValueError:
            raise AddressError(f"{quote(path)} is no path: it holds a NUL byte") from None
        self._opened.append(fd)
        return fd

    def empty_files(self) -> None:
        """Cut those regular files to nothing that were opened for writing only (the shell's `>`).

        Raises:
            AfunixError: one does not let itself be cut.
        """
        for fd in self._opened if self._access is Access.WRITE else ():
            if stat.S_ISREG(os.fstat(fd).st_mode):
                try:
                    os.ftruncate(fd, 0)
                except OSError as error:
                    path = os.readlink(f"/proc/self/fd/{fd}")
                    raise AfunixError(
                        f"{quote(path)} cannot be emptied ({errno_name(error.errno)})"
                    ) from None

    def close(self) -> None:
        """Close what was opened for it; idempotent."""
        while self._opened:
            os.close(self._opened.pop())


def _must_be_open(number: int, closed_at_start: Collection[int]) -> None:
    try:
        if number in closed_at_start:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        os.fstat(number)
    except (OSError, OverflowError):
        raise AddressError(
            f"descriptor {number} is not open (EBADF)",
            hint=f"the shell opens it with {number}<FILE or {number}>FILE; a file called {number} is ./{number}",
        ) from None


def _cannot_open(path: str, access: Access, error: OSError) -> AfunixError:
    word = errno_name(error.errno)
    if error.errno == errno.ENXIO and _is_socket(path):
        return AddressError(
            f"{quote(path)} is a Unix socket, which is connected to and not opened ({word})",
            hint="a socket that is open already is sent by its number, as a descriptor of the shell",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DeniedError(f"{quote(path)} may not be opened to {access.value} ({word})", errno=error.errno)
    reason = os.strerror(error.errno or 0).lower()
    hint = _HINTS.get((error.errno or 0, access))
    if path == "-":
        hint = "STDIN is 0, and STDOUT 1"
    return AfunixError(f"{quote(path)} cannot be opened: {reason} ({word})", hint=hint, errno=error.errno)


_HINTS = {(errno.ENOENT, Access.READ): "--write, --append and --read-write make a file"}


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
