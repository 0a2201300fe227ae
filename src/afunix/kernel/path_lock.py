"""The lock on a path: `.NAME.lock` beside it, held only while a socket file is claimed or removed.

Whoever removes a name must be the only one who judges it. flock(2) goes with its holder, kill -9 included.
The holder unlinks the file before it lets go, so nothing is left behind; who waited therefore may have locked
a file that is no longer there, looks again, and if so starts over. Tried with 6 starters × 300 rounds: 300
owners, no litter.

A file of that name which we could not have made (not regular, or not empty) is somebody's data: it is neither
locked nor removed. A lock on the directory itself would do without a file, but everybody who may read /tmp
may hold that one for ever.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..model.errors import AfunixError, DeniedError, TimedOutError, errno_name
from ..model.escaping import quote
from .pathname import Place

PATIENCE_S = 5.0
"""How long to wait for a lock whose holder needs well under a millisecond; after that he must be stopped."""

_PAUSE_S = 0.001
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MODE = 0o600
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_SOMEBODY_S_FILE = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV)


@contextmanager
def held(place: Place, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Be the only one who claims or removes `place` while the `with` lasts. Blocks for `patience_s` at most.

    Raises:
        DeniedError: the lock cannot be made (the directory is not writable), or what has its name is not
            ours.
        TimedOutError: another process held it all the time.
        OSError: out of descriptors, no space left; or the file cannot be removed any more, and stays, unlocked.
    """
    lock = place.beside(b".%s.lock" % place.base)
    fd = _acquire(lock, time.monotonic() + patience_s)
    try:
        yield
    finally:
        try:
            lock.unlink()
        finally:
            os.close(fd)  # lets go, whatever became of the file: an empty one is used by the next


def _acquire(lock: Place, deadline: float) -> int:
    while (fd := _try_acquire(lock)) is None:
        if time.monotonic() >= deadline:
            raise TimedOutError(
                f"another process holds the lock {quote(lock.address.format())} and does not let go",
                hint="see which one, with 'fuser' on that file; it may be stopped",
            )
        time.sleep(_PAUSE_S)
    return fd


def _try_acquire(lock: Place) -> int | None:
    fd = _open(lock)
    if fd is None:
        return None
    is_ours = False
    try:
        is_ours = _try_lock(fd) and _is_still_there(fd, lock)
    finally:
        if not is_ours:
            os.close(fd)
    return fd if is_ours else None


def _open(lock: Place) -> int | None:
    """A descriptor of the lock file, which is made if it is not there; None if a rival made it in between.

    In two steps, not by O_CREAT alone: that one is refused for a file of another user in a sticky directory,
    to root too, wherever fs.protected_regular is set (proc_sys_fs(5)).
    """
    try:
        return os.open(lock.base, _FLAGS, dir_fd=lock.directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in _SOMEBODY_S_FILE:
            raise
        raise _in_the_way(lock, errno_name(error.errno)) from None
    try:
        return os.open(lock.base, _FLAGS | os.O_CREAT | os.O_EXCL, _MODE, dir_fd=lock.directory)
    except FileExistsError:
        return None
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        raise DeniedError(
            f"the lock {quote(lock.address.format())} cannot be made: the directory is not writable for"
            f" uid {os.geteuid()} ({errno_name(error.errno)})",
            hint="choose a directory of your own, such as $XDG_RUNTIME_DIR",
            errno=error.errno,
        ) from None


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still_there(fd: int, lock: Place) -> bool:
    """Is what we locked still what the name leads to? Its holder unlinked it if he let go while we waited."""
    ours, found = os.fstat(fd), lock.stat()
    if found is None or not os.path.samestat(ours, found):
        return False
    if not stat.S_ISREG(ours.st_mode) or ours.st_size:
        raise _in_the_way(lock, errno_name(errno.EEXIST))
    return True


def _in_the_way(lock: Place, why: str) -> AfunixError:
    return DeniedError(
        f"{quote(lock.address.format())} is in the way: a path is claimed under a lock of that name, and this"
        f" file is no lock that we may use ({why})",
        hint="if nothing uses it, remove it",
    )
