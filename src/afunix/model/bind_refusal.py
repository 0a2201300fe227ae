"""Why a socket cannot be made at a path: facts about the way there become the error that a person reads. Pure.

    errno           what else is known                       error
    ENOENT          the directory                            NoSuchSocketError
    ENOTDIR ELOOP   where the way ends                       NoSuchSocketError
    EACCES          where, and whether it may be searched    DeniedError
    EROFS EPERM     -                                        DeniedError
    ENAMETOOLONG    the file's name                          AddressError
    anything else   is not about the path (EMFILE)           none: it stays the system's own

For what open(2) of the directory, bind(2), unlink(2) and rename(2) refused. What is *at* the path is judged in
`ownership`, a connection that was refused in `refusal`. `kernel.bind_errors` gathers the facts.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from .address import Address
from .errors import AddressError, AfunixError, DeniedError, NoSuchSocketError, errno_name
from .escaping import escape, quote


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What the system said of making a socket at `address`, and what was found on the way there a moment later.

    `directory` is the one that the socket is to be in, `reached` as much of its path as can be looked up, and
    `may_search` whether the user `uid` may search that.
    """

    address: Address
    errno: int
    directory: bytes
    reached: bytes
    may_search: bool
    uid: int

    @property
    def said(self) -> str:
        return f"{quote(self.address.format())} cannot be made"


def bind_refusal(it: Hindrance) -> AfunixError | None:
    """The error for a path that cannot be bound, with the next step as its hint; None if the path is not the reason."""
    judge = _JUDGES.get(it.errno)
    return None if judge is None else judge(it)


def removal_refusal(address: Address, number: int, uid: int) -> AfunixError:
    """The error for a socket file, stale or ours, whose removal or replacement was refused to the user `uid`."""
    return DeniedError(
        f"the socket file {quote(address.format())} cannot be removed by uid {uid} ({errno_name(number)})",
        hint="that needs write permission on its directory; in a sticky one (/tmp) the file must be yours",
        errno=number,
    )


def _missing(it: Hindrance) -> AfunixError:
    import shlex

    if it.reached == it.directory:
        return NoSuchSocketError(
            f"{it.said}: the directory {quote(it.directory)} is there, and no file can be made in it (ENOENT)",
            hint="choose a directory on another file system, such as $XDG_RUNTIME_DIR",
        )
    return NoSuchSocketError(
        f"{it.said}: the directory {quote(it.directory)} does not exist (ENOENT)",
        hint=f"mkdir -p {escape(shlex.quote(os.fsdecode(it.directory)))}",
    )


def _no_directory(it: Hindrance) -> AfunixError:
    return NoSuchSocketError(
        f"{it.said}: {quote(it.reached)} is not a directory (ENOTDIR)",
        hint="write a directory's path, then the socket's name",
        errno=it.errno,
    )


def _looping(it: Hindrance) -> AfunixError:
    return NoSuchSocketError(
        f"{it.said}: too many symbolic links on the way (ELOOP)",
        hint="'namei' on the path shows where they lead",
        errno=it.errno,
    )


def _denied(it: Hindrance) -> AfunixError:
    lacks = "writable" if it.may_search else "searchable"
    return DeniedError(
        f"{it.said}: the directory {quote(it.reached)} is not {lacks} for uid {it.uid} (EACCES)",
        hint="choose a directory of your own, such as $XDG_RUNTIME_DIR",
    )


def _read_only(it: Hindrance) -> AfunixError:
    return DeniedError(
        f"{it.said}: it is on a read-only file system (EROFS)",
        hint="choose a directory that can be written, such as $XDG_RUNTIME_DIR",
        errno=it.errno,
    )


def _forbidden(it: Hindrance) -> AfunixError:
    return DeniedError(
        f"{it.said}: the directory or its file system takes no socket (EPERM)",
        hint="choose a directory on another file system, such as $XDG_RUNTIME_DIR",
        errno=it.errno,
    )


def _too_long(it: Hindrance) -> AfunixError:
    name = it.address.name.rpartition(b"/")[2]
    return AddressError(
        f"the file name {quote(name)} is {len(name)} bytes long, which is more than its file system takes"
        " (ENAMETOOLONG)",
        hint="choose a shorter file name",
    )


_JUDGES = {
    errno.ENOENT: _missing,
    errno.ENOTDIR: _no_directory,
    errno.ELOOP: _looping,
    errno.EACCES: _denied,
    errno.EROFS: _read_only,
    errno.EPERM: _forbidden,
    errno.ENAMETOOLONG: _too_long,
}
