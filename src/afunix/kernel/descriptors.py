"""Descriptors that arrived over a socket, owned: what nobody claims is closed, and says so if it was forgotten.

Sending borrows, receiving owns: two ideas, so a plain number goes out and an `Fd` comes in.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import warnings
from collections.abc import Collection, Iterable, Iterator
from types import TracebackType
from typing import IO, Any, Protocol, Self, TypeAlias

from ..model.errors import ClosedError, errno_name
from .ancillary import MAX_FDS
from .descriptor_kind import DescriptorKind


class HasFileno(Protocol):
    """A file, a socket, a pipe's end: what has a descriptor."""

    def fileno(self) -> int: ...


Descriptor: TypeAlias = "int | HasFileno"
"""What can be sent."""


class Fd:
    """One open descriptor, close-on-exec, that is ours until `take`, `open` or `socket` hands it on, or `close`."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        """The number, borrowed.

        Raises:
            ClosedError: it was closed or taken.
        """
        if self._number < 0:
            raise ClosedError("this descriptor was closed or taken already")
        return self._number

    @property
    def is_closed(self) -> bool:
        """Closed, or taken by somebody."""
        return self._number < 0

    def take(self) -> int:
        """The number; the caller owns it from now on.

        Raises:
            ClosedError: it was closed or taken.
        """
        number = self.fileno()
        self._number = -1
        return number

    def open(self, mode: str = "rb", **options: Any) -> IO[Any]:
        """The file it is, as `open(fd, mode, …)` makes it; the file owns the descriptor.

        Raises:
            ClosedError: it was closed or taken.
            OSError: as `open`, e.g. for a directory; the descriptor is then still ours.
        """
        number = self.fileno()
        # A copy, because whether `open` closes what it was given when it fails depends on how far it came.
        file = open(f"descriptor {number}", mode, opener=lambda _, flags: _copy(number), **options)
        self.close()
        return file

    def socket(self) -> socket.socket:
        """The socket it is; the socket object owns the descriptor.

        As `socket.socket(fileno=…)` makes it: under `socket.setdefaulttimeout` it becomes non-blocking, for whoever
        sent it, too.

        Raises:
            ClosedError: it was closed or taken.
            OSError: it is no socket (ENOTSOCK); the descriptor is then still ours.
        """
        sock = socket.socket(fileno=self.fileno())
        self._number = -1
        return sock

    def close(self) -> None:
        """Close it, unless somebody took it; idempotent."""
        if self._number >= 0:
            number, self._number = self._number, -1
            os.close(number)

    def __enter__(self) -> Fd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._number >= 0:
            what = f"unclosed received descriptor {self._number}"
            try:
                warnings.warn(what, ResourceWarning, source=self, stacklevel=2)
            finally:  # a warning may be an error
                self.close()

    def __repr__(self) -> str:
        return "<Fd closed>" if self._number < 0 else f"<Fd {self._number}>"


class Received:
    """Bytes, and the descriptors that came with the last message among them: `with` closes those that nobody took."""

    __slots__ = ("data", "fds")

    def __init__(self, data: bytes, fds: Iterable[int]) -> None:
        self.data = data
        self.fds = tuple(Fd(number) for number in fds)

    def close(self) -> None:
        """Close every descriptor that is still ours; idempotent."""
        for fd in self.fds:
            fd.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Fd]:
        return iter(self.fds)

    def __repr__(self) -> str:
        return f"<Received {len(self.data)} bytes, {len(self.fds)} descriptors>"


def number_of(descriptor: Descriptor) -> int:
    """The number of what may be sent.

    Raises:
        TypeError: it is neither a number nor has `fileno()`.
        ValueError: no descriptor has that number.
    """
    if isinstance(descriptor, int) and not isinstance(descriptor, bool):
        number = descriptor
    elif hasattr(descriptor, "fileno"):
        number = descriptor.fileno()
    else:
        raise TypeError(
            f"expected a descriptor or an object with fileno(), found {type(descriptor).__name__}"
        )
    if not 0 <= number <= _MAX_NUMBER:
        raise ValueError(f"{number} is no descriptor, expected 0 or more")
    return number


def _copy(number: int) -> int:
    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 0)


_MAX_NUMBER = 2**31 - 1


def numbers_of(descriptors: Collection[Descriptor]) -> list[int]:
    """The numbers of what is to go with one message.

    Raises:
        TypeError, ValueError: one is no descriptor, or there are more than a message carries.
    """
    if not isinstance(descriptors, Collection) or isinstance(descriptors, (str, bytes, bytearray)):
        raise TypeError(f"fds is {type(descriptors).__name__}, expected a list of descriptors")
    if len(descriptors) > MAX_FDS:
        raise ValueError(f"{len(descriptors)} descriptors in one message: at most {MAX_FDS} go")
    return [number_of(descriptor) for descriptor in descriptors]


def explain_not_open(error: OSError, fds: Iterable[int]) -> OSError:
    """`error`, which sending `fds` has raised; if one of them is not open (EBADF), it says which."""
    closed = [fd for fd in fds if not _is_open(fd)] if error.errno == errno.EBADF else []
    if not closed:
        return error
    return OSError(
        errno.EBADF,
        f"descriptor {closed[0]} is not open (EBADF), expected one that stays open until it was sent",
    )


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError as error:
        return error.errno != errno.EBADF
    return True


def explain_unreadable(error: OSError, fd: int) -> OSError:
    """`error`, which reading `fd` at an offset has raised, in words; one that is not about what it is, as it is."""
    found = _OF_A_FILE.get(error.errno or 0)
    if found is None:
        return error
    if error.errno == errno.ESPIPE:
        found = f"is a {DescriptorKind.of(fd).value}"
    return OSError(
        error.errno,
        f"descriptor {fd} {found} ({errno_name(error.errno)}), expected a regular file to read from",
    )


_OF_A_FILE = {
    errno.ESPIPE: "cannot be read at an offset",
    errno.EISDIR: "is a directory",
    errno.EBADF: "is not open for reading",
    errno.EINVAL: "cannot be read at an offset",
}
