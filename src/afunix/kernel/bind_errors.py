"""Why a path cannot be bound or removed, in words: the errno, and which directory is the obstacle.

For what open(2) of its directory, bind(2), unlink(2) and rename(2) refused; what is *at* the path is judged
in `model.ownership`. Looks, and changes nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from ..model.address import Address
from ..model.errors import AddressError, AfunixError, DeniedError, NoSuchSocketError, errno_name
from ..model.escaping import escape, quote
from .pathname import parent_of


def explain(error: OSError, address: Address) -> OSError | AfunixError:
    """The typed error for `error`; one that is not about the path (EMFILE) comes back, its filename set."""
    explanation = _EXPLANATIONS.get(error.errno or 0)
    if explanation is None:
        error.filename = address.format()
        return error
    return explanation(address)


def cannot_remove(error: OSError, address: Address) -> AfunixError:
    """The typed error for a socket file, stale or ours, whose removal or replacement was refused."""
    return DeniedError(
        f"the socket file {quote(address.format())} cannot be removed by uid {os.geteuid()}"
        f" ({errno_name(error.errno)})",
        hint="that needs write permission on its directory; in a sticky one (/tmp) the file must be yours",
        errno=error.errno,
    )


def _missing_parent(address: Address) -> AfunixError:
    import shlex

    parent = os.fsdecode(parent_of(address))
    return NoSuchSocketError(
        f"{quote(address.format())} cannot be made: the directory {quote(parent)} does not exist (ENOENT)",
        hint=f"mkdir -p {escape(shlex.quote(parent))}",
    )


def _no_directory(address: Address) -> AfunixError:
    obstacle = quote(_last_reachable(address))
    return NoSuchSocketError(
        f"{quote(address.format())} cannot be made: {obstacle} is not a directory (ENOTDIR)",
        hint="write a directory's path, then the socket's name",
        errno=errno.ENOTDIR,
    )


def _looping(address: Address) -> AfunixError:
    return NoSuchSocketError(
        f"{quote(address.format())} cannot be made: too many symbolic links on the way (ELOOP)",
        hint="'namei' on the path shows where they lead",
        errno=errno.ELOOP,
    )


def _denied(address: Address) -> AfunixError:
    directory = _last_reachable(address)
    may_search = os.access(directory, os.X_OK, effective_ids=True)
    return DeniedError(
        f"{quote(address.format())} cannot be made: the directory {quote(directory)} is not"
        f" {'writable' if may_search else 'searchable'} for uid {os.geteuid()} (EACCES)",
        hint="choose a directory of your own, such as $XDG_RUNTIME_DIR",
    )


def _read_only(address: Address) -> AfunixError:
    return DeniedError(
        f"{quote(address.format())} cannot be made: it is on a read-only file system (EROFS)",
        hint="choose a directory that can be written, such as $XDG_RUNTIME_DIR",
        errno=errno.EROFS,
    )


def _forbidden(address: Address) -> AfunixError:
    return DeniedError(
        f"{quote(address.format())} cannot be made: the directory or its file system takes no socket (EPERM)",
        hint="choose a directory on another file system, such as $XDG_RUNTIME_DIR",
        errno=errno.EPERM,
    )


def _too_long(address: Address) -> AfunixError:
    base = os.path.basename(address.name)
    return AddressError(
        f"the file name {quote(base)} is {len(base)} bytes long, which is more than its file system takes"
        f" ({errno_name(errno.ENAMETOOLONG)})",
        hint="choose a shorter file name",
    )


_EXPLANATIONS: dict[int, Callable[[Address], AfunixError]] = {
    errno.ENOENT: _missing_parent,
    errno.ENOTDIR: _no_directory,
    errno.ELOOP: _looping,
    errno.EACCES: _denied,
    errno.EROFS: _read_only,
    errno.EPERM: _forbidden,
    errno.ENAMETOOLONG: _too_long,
}


def _last_reachable(address: Address) -> bytes:
    """The longest leading part of the directory's path that can be looked up: where the obstacle is."""
    reached = b"/" if address.name.startswith(b"/") else b"."
    for part in _leading_parts(parent_of(address)):
        try:
            os.stat(part)
        except OSError:
            break
        reached = part
    return reached


def _leading_parts(path: bytes) -> Iterator[bytes]:
    """`/a`, `/a/b`, `/a/b/c` for `/a/b/c`."""
    end = path.find(b"/", 1)
    while end > 0:
        yield path[:end]
        end = path.find(b"/", end + 1)
    yield path
