"""A pathname as the kernel can take it: at most 107 bytes, or through a directory that is held open.

`sockaddr_un` has room for 107 bytes and a NUL (unix(7)). A longer path is bound and reached as
`/proc/self/fd/N/NAME`, where N is a descriptor of its directory; a path that fits is passed as it was
written, because that is the name which getsockname, `ss` and systemd-tmpfiles see from then on.

Python cuts a pathname at its first NUL byte and calls a long one an OSError without an errno, so both are met
here and nothing is ever truncated. What is at a path is no question for this file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..model.address import MAX_NAME_BYTES, Address, AddressKind
from ..model.errors import AddressError
from ..model.escaping import quote

_NAMES_OF_DIRECTORIES = (b"", b".", b"..")


@dataclass(frozen=True, slots=True)
class Place:
    """A name in a directory that is held open: it stays the same directory when that is renamed, or we chdir.

    Owns `directory`, an O_PATH descriptor, close-on-exec, until `close()`.
    """

    address: Address
    directory: int
    base: bytes

    @property
    def kernel_name(self) -> bytes:
        """What bind(2) and connect(2) take; good for as long as this is open.

        Raises:
            AddressError: the path is too long for the kernel, and its last component for the way around that.
        """
        path = self.address.name
        return path if len(path) <= MAX_NAME_BYTES else self._through_directory()

    def _through_directory(self) -> bytes:
        prefix = b"/proc/self/fd/%d/" % self.directory
        room = MAX_NAME_BYTES - len(prefix)
        if len(self.base) > room:
            raise AddressError(
                f"the file name {quote(self.base)} is {len(self.base)} bytes long; in a path of more than"
                f" {MAX_NAME_BYTES} bytes (this one has {len(self.address.name)}) it may have {room}",
                hint="choose a shorter file name, or a directory with a shorter path",
            )
        return prefix + self.base

    def beside(self, base: bytes) -> Place:
        """Another name in the same directory. Shares the descriptor: only one of the two is to be closed."""
        return Place(Address.pathname(os.path.join(parent_of(self.address), base)), self.directory, base)

    def stat(self) -> os.stat_result | None:
        """lstat(2) of what the name leads to now, None if to nothing."""
        try:
            return os.stat(self.base, dir_fd=self.directory, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def unlink(self) -> None:
        """Remove the name, whatever it leads to: the caller has looked.

        Raises:
            OSError: as unlink(2), but never for a name that is gone already.
        """
        try:
            os.unlink(self.base, dir_fd=self.directory)
        except FileNotFoundError:
            pass

    def close(self) -> None:
        os.close(self.directory)


def hold(address: Address) -> Place:
    """Open the directory of a pathname; the caller owns the Place and closes it.

    Raises:
        AddressError: no pathname, a NUL byte in it, the name of a directory, or longer than open(2) takes.
        OSError: as open(2) says of the directory: ENOENT, ENOTDIR, EACCES, ELOOP, EMFILE.
    """
    path = _path_of(address)
    base = os.path.basename(path)
    if base in _NAMES_OF_DIRECTORIES:
        raise AddressError(
            f"{quote(address.format())} is the name of a directory, not of a socket file",
            hint="add the socket's own name to it",
        )
    try:
        directory = os.open(parent_of(address), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise AddressError(
                f"the path {quote(address.format())} is {len(path)} bytes long: more than 4095, or a part of"
                " it is longer than 255 (ENAMETOOLONG)",
                hint="choose a shorter path",
            ) from None
        raise
    return Place(address, directory, base)


def parent_of(address: Address) -> bytes:
    """The directory that a pathname is in, as it was written; `.` for a bare name."""
    return os.path.dirname(address.name) or b"."


@contextmanager
def kernel_name(address: Address) -> Iterator[bytes]:
    """What `socket.bind` and `socket.connect` take for a pathname or an abstract name, of any length.

    Good only inside the `with`: a long path is reached through a descriptor that is closed at its end.

    Raises:
        AddressError: neither a pathname nor an abstract name, a NUL byte in a path, or too long after all.
        OSError: a directory on the way to a long path, with the errno that connect(2) gives for a short one.
    """
    if address.kind is AddressKind.ABSTRACT:
        yield b"\0" + address.name
    elif len(path := _path_of(address)) <= MAX_NAME_BYTES:
        yield path
    else:
        place = hold(address)
        try:
            yield place.kernel_name
        finally:
            place.close()


def _path_of(address: Address) -> bytes:
    if address.kind is not AddressKind.PATHNAME:
        raise AddressError(
            f"{quote(address.format())} is not the name of a Unix socket: expected a path or @name"
        )
    if b"\0" in address.name:
        raise AddressError(f"{quote(address.name)} holds a NUL byte, which no path can")
    return address.name
