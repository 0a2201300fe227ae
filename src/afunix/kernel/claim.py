"""Getting a socket to its path: bind, and where the name is taken find out whether it may be had.

Binding comes first and needs no lock. Only on EADDRINUSE is anybody asked: the facts that `sighting` gathers
go to `model.ownership`, which judges. What is stale is removed under `path_lock`, and the name is bound; what
is alive, or no socket, is left as it is, unless a live socket's path is to be taken over.

No window: the mode is set on the socket before bind(2), which gives the file `mode & ~umask` (Linux), so the
path is never wider than asked for, and the umask, which all threads share, is left alone. What the umask took
away comes back by chmod, once owner and group are right.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from errno import EADDRINUSE
from socket import SocketType

from ..model.errors import AddressInUseError, AfunixError, DeniedError, errno_name
from ..model.escaping import quote
from ..model.events import LiveReplaced, Observer, StaleRemoved
from ..model.ownership import Sighting, Verdict, judge, refusal
from . import names, owners, path_lock
from .bind_errors import cannot_remove, explain
from .pathname import Place
from .sighting import PIN, look_at

_ATTEMPTS = 100
"""Who loses the race for a free name sees its winner at the next look; more than that is something else."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the file is to have in the end, and what it has at birth: less, never more."""

    mode: int
    uid: int | None
    gid: int | None

    @property
    def changes_owner(self) -> bool:
        return self.uid is not None or self.gid is not None

    @property
    def at_birth(self) -> int:
        """Until the file has its owner and group, rights meant for those would be rights of our own group."""
        return self.mode & 0o700 if self.changes_owner else self.mode

    def apply(self, place: Place, fd: int) -> None:
        """chown, then chmod, of the inode that `fd` pins; by /proc: fchmod(2) takes no O_PATH ones."""
        newborn = os.fstat(fd)
        if stat.S_IMODE(newborn.st_mode) == self.mode and not self.changes_owner:
            return
        if not _is_newborn(newborn):
            raise AddressInUseError(
                f"{quote(place.address.format())} was exchanged by another program while it was being bound"
            )
        path = f"/proc/self/fd/{fd}"
        try:
            if self.changes_owner:
                os.chown(path, -1 if self.uid is None else self.uid, -1 if self.gid is None else self.gid)
            os.chmod(path, self.mode)
        except PermissionError as error:
            raise self._not_permitted(error, place) from None

    def _not_permitted(self, error: OSError, place: Place) -> AfunixError:
        parts = (("mode", f"{self.mode:04o}"), ("uid", self.uid), ("gid", self.gid))
        wanted = ", ".join(f"{what} {value}" for what, value in parts if value is not None)
        return DeniedError(
            f"{quote(place.address.format())} cannot be given {wanted} by uid {os.geteuid()}"
            f" ({errno_name(error.errno)})",
            hint="only root gives a file to another user; a group must be one of your own",
            errno=error.errno,
        )


def _is_newborn(file: os.stat_result) -> bool:
    """Can this be what bind(2) just made? If not, somebody put another file in its place."""
    return stat.S_ISSOCK(file.st_mode) and file.st_nlink == 1 and file.st_uid == os.geteuid()


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt to get `sock` to its place. What it made it removes again if a later step fails.

    `ready` is called when the socket is bound and its file complete, in a take-over before the rename.
    """

    sock: SocketType
    place: Place
    permissions: Permissions
    replace: bool
    observer: Observer | None
    ready: Callable[[], None]

    def run(self) -> os.stat_result:
        """Claim the place; return the file that leads to `sock` now. Raises what `socket_file.bind` says."""
        os.fchmod(self.sock.fileno(), self.permissions.at_birth)
        made = self._bind_at(self.place)
        if made is not None:
            return made
        with look_at(self.place) as look:  # saying no needs no lock, so it works where we may not write
            self._refuse_unless_claimable(look.seen)
        with path_lock.held(self.place):
            return self._run_locked()

    def _run_locked(self) -> os.stat_result:
        """While the lock is held nobody else removes what is here; a free name anybody may still bind.

        Bind again before looking: bind(2) waits for a rival who is in the middle of it, and whose file would
        look stale until the kernel has attached his socket. (Before Linux 5.14 it lets go of the directory a
        moment earlier, which leaves a gap of some instructions.)
        """
        for _ in range(_ATTEMPTS):
            made = self._bind_at(self.place)
            if made is not None:
                return made
            with look_at(self.place) as look:
                if self._refuse_unless_claimable(look.seen) is Verdict.LIVE:
                    return self._take_over()
                if look.file is not None:
                    self._remove_stale(look.file)
        raise AddressInUseError(
            f"{quote(self.place.address.format())} is taken whenever it is bound, and free whenever it is looked"
            " at: other programs are at work there, or its directory was exchanged",
            hint="try again",
        )

    def _refuse_unless_claimable(self, seen: Sighting) -> Verdict:
        verdict = judge(seen)
        if verdict in (Verdict.FREE, Verdict.STALE) or (verdict is Verdict.LIVE and self.replace):
            return verdict
        holders = [] if verdict is Verdict.FOREIGN else owners.holders_of_path(self.place.address.name)
        owner = None if seen.owner is None else names.user_name(seen.owner)
        raise refusal(self.place.address, seen, holders, owner)

    def _bind_at(self, place: Place) -> os.stat_result | None:
        """bind(2), then owner, mode and `ready`; None if the name is taken."""
        try:
            self.sock.bind(place.kernel_name)
        except OSError as error:
            if error.errno == EADDRINUSE:
                return None
            raise explain(error, place.address) from None
        return self._finish(place)

    def _finish(self, place: Place) -> os.stat_result:
        try:
            fd = os.open(place.base, PIN, dir_fd=place.directory)
        except FileNotFoundError:
            raise AddressInUseError(
                f"{quote(place.address.format())} was removed by another program while it was being bound"
            ) from None
        try:
            made = os.fstat(fd)
            try:
                self.permissions.apply(place, fd)
                self.ready()
            except BaseException:
                _unlink_if_same(place, made)
                raise
        finally:
            os.close(fd)
        return made

    def _remove_stale(self, file: os.stat_result) -> None:
        try:
            removed = _unlink_if_same(self.place, file)
        except OSError as error:
            raise cannot_remove(error, self.place.address) from None
        if removed and self.observer is not None:
            self.observer(StaleRemoved(self.sock.fileno(), self.place.address))

    def _take_over(self) -> os.stat_result:
        """Bind beside, then rename over: every client reaches the old socket or the new one.

        A known race: a program that ignores the lock may put another file here between our look and the
        rename; renameat2(2) with RENAME_EXCHANGE would show what it was, but Python has no name for it.
        """
        beside = self.place.beside(b".afunix.%s" % os.urandom(4).hex().encode())
        made = self._bind_at(beside)
        if made is None:
            raise AddressInUseError(f"{quote(beside.address.format())} is in the way of a take-over")
        try:
            os.rename(beside.base, self.place.base, src_dir_fd=beside.directory, dst_dir_fd=beside.directory)
        except OSError as error:
            _unlink_if_same(beside, made)
            raise cannot_remove(error, self.place.address) from None
        if self.observer is not None:
            self.observer(LiveReplaced(self.sock.fileno(), self.place.address))
        return made


def _unlink_if_same(place: Place, file: os.stat_result) -> bool:
    found = place.stat()
    if found is None or not os.path.samestat(found, file):
        return False
    place.unlink()
    return True
