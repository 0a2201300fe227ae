"""Ownership of a socket's pathname: claim it, know it again, remove it, and never touch anybody else's.

`claim` gets the path and says how; what is kept of it is here. So a start after kill -9 needs no help, of two
starters exactly one wins, and what is alive, or is no socket, is left as it is.

At the end the path is removed only if it still leads to the inode that we made. The inode number of a closed
socket's file is given out again at once (ext4: 200 times of 200), and the open socket is what pins it: first
remove, then close. Not ctime: any chmod changes that. An abstract name ends with its socket and has no file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import ExitStack, suppress
from errno import EADDRINUSE
from socket import SocketType

from ..model.address import Address, AddressKind
from ..model.errors import AddressError, DeniedError
from ..model.events import Observer
from ..model.ownership import NAME_TAKEN, Verdict, judge, refusal
from . import owners, path_lock
from .bind_errors import cannot_remove, explain
from .claim import Claim, Permissions
from .pathname import Place, hold, kernel_name, parent_of
from .sighting import look_at

__all__ = ["SocketFile", "bind", "is_parent_world_writable", "kernel_name"]

_REMOVE_PATIENCE_S = 0.5
"""A stop waits this long for a lock that is normally held for a fraction of a millisecond."""


def bind(
    sock: SocketType,
    address: Address,
    *,
    mode: int = 0o600,
    uid: int | None = None,
    gid: int | None = None,
    replace: bool = False,
    observer: Observer | None = None,
    ready: Callable[[], None] | None = None,
) -> SocketFile | None:
    """Give `sock`, which has no name yet, a pathname or an abstract name (then the result is None).

    The file has `mode` (the umask takes nothing from it), and `uid` and `gid` where given; at no moment is it
    wider, or wide for another owner. A stale socket file is replaced, and StaleRemoved tells. With `replace`
    the path of a *live* socket is taken over by an atomic rename, and LiveReplaced tells; getsockname then
    keeps the name that the socket was first bound to, `.afunix.` and eight digits in the same directory.

    `ready` is called once the socket is bound and its file has mode and owner. Call listen(2) in it, and a
    take-over leaves no moment in which a client is refused. What it raises is passed on.

    `sock` stays the caller's. When this fails, nothing of ours is left at the path; `sock` may have been
    bound by then, so close it. The caller owns the SocketFile. Blocks only while others claim the same path,
    and at most for `path_lock.PATIENCE_S`.

    Raises:
        AddressInUseError: something live is bound there (who, is in the message), or that cannot be known.
        NotASocketError: another kind of file is there, a symbolic link included.
        NoSuchSocketError: the directory does not exist, or is none.
        DeniedError: the directory is not writable or not searchable, the file system is read-only, or `uid`,
            `gid` or the removal of a stale file is not permitted.
        AddressError: what cannot be bound: a path too long, a directory, another kind; a mode above 0777.
        TimedOutError: another process holds the lock and does not let go.
        OSError: out of descriptors, no space left.
    """
    if not 0 <= mode <= 0o777:
        raise AddressError(f"{mode:#o} is no mode for a socket file: expected 0 to 0o777")
    call_when_ready = _nothing if ready is None else ready
    if address.kind is AddressKind.ABSTRACT:
        _bind_abstract(sock, address)
        call_when_ready()
        return None
    try:
        place = hold(address)
    except OSError as error:
        raise explain(error, address) from None
    try:
        claim = Claim(sock, place, Permissions(mode, uid, gid), replace, observer, call_when_ready)
        return SocketFile(place, claim.run())
    except BaseException:
        place.close()
        raise


class SocketFile:
    """The socket file that we made: `device` and `inode` are its identity, `pid` is the process that made it.

    Owns a descriptor of its directory, so that chdir and a renamed directory do not matter, until `close()`.
    """

    __slots__ = ("_place", "address", "device", "inode", "pid")

    def __init__(self, place: Place, file: os.stat_result) -> None:
        self.address = place.address
        self.device = file.st_dev
        self.inode = file.st_ino
        self.pid = os.getpid()
        self._place: Place | None = place

    def is_ours(self) -> bool:
        """Is the file at the path still the one that we made, and are we still the process that made it?

        Means something only while the socket is open. False after `close()`, and in a forked child.
        """
        return self._place is not None and os.getpid() == self.pid and self._leads_to_us(self._place)

    def remove(self) -> bool:
        """Remove the path if it is still ours, and say whether it was. Idempotent.

        Call it before the socket is closed, in the process that bound it; in any other it does nothing.

        Raises:
            DeniedError: it is ours and stays, because its directory is not writable for us (any more).
        """
        place = self._place
        if place is None or not self.is_ours():
            return False
        try:
            with ExitStack() as stack:
                # The lock keeps a take-over out of the middle. Everybody else takes this path for live and leaves
                # it alone; so a stop goes on without it where no descriptor or space is left, or it is stuck.
                with suppress(OSError):
                    stack.enter_context(path_lock.held(place, _REMOVE_PATIENCE_S))
                return self._unlink_if_ours(place)
        except PermissionError as error:  # perhaps the lock's own file, in an append-only directory
            raise (error if isinstance(error, DeniedError) else cannot_remove(error, place.address)) from None

    def remove_if_stale(self) -> bool:
        """Remove the path if it is still ours and its socket is closed: by whoever it was handed to.

        Nothing pins the inode then, so it is not enough that it is the same: nobody may be bound there either.
        Says whether it was removed. Idempotent, and in any process but the one that bound it does nothing.

        Raises:
            AfunixError: it is ours and stays, because its directory is not writable or its lock not free.
            OSError: as open(2) of the lock.
        """
        place = self._place
        if place is None or not self.is_ours():
            return False
        with path_lock.held(place, _REMOVE_PATIENCE_S), look_at(place) as look:
            return judge(look.seen) is Verdict.STALE and self._unlink_if_ours(place)

    def _unlink_if_ours(self, place: Place) -> bool:
        # A known race with programs that ignore the lock: nothing in Linux unlinks by inode.
        if not self._leads_to_us(place):
            return False
        try:
            place.unlink()
        except OSError as error:
            raise cannot_remove(error, place.address) from None
        return True

    def _leads_to_us(self, place: Place) -> bool:
        found = place.stat()
        return found is not None and (found.st_dev, found.st_ino) == (self.device, self.inode)

    def disown(self) -> None:
        """Leave the file to somebody else: from now on `remove()` does nothing."""
        self.close()

    def close(self) -> None:
        """Close the directory's descriptor; the file stays. Idempotent."""
        place, self._place = self._place, None
        if place is not None:
            place.close()

    def __del__(self) -> None:
        # The socket that was forgotten with it says so (ResourceWarning) and is closed by Python.
        self.close()


def is_parent_world_writable(address: Address) -> bool:
    """May everybody make files beside the socket, and so take its name while it is down? False if unknown."""
    if address.kind is not AddressKind.PATHNAME:
        return False
    try:
        return bool(os.stat(parent_of(address)).st_mode & stat.S_IWOTH)
    except OSError:
        return False


def _bind_abstract(sock: SocketType, address: Address) -> None:
    with kernel_name(address) as name:
        try:
            sock.bind(name)
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise
            raise refusal(address, NAME_TAKEN, owners.holders_of_abstract(address.name)) from None


def _nothing() -> None:
    pass
