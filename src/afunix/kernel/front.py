"""A socket of ours in front of a live one: the two names swapped, and swapped back, with no moment in between.

    before      PATH is the server's, SECOND is ours, bound and listening
    in front    PATH is ours, SECOND is the server's (renameat2, RENAME_EXCHANGE): clients find the one or the other
    back        PATH is the server's, SECOND is removed

What others do to PATH while it leads to ours they mean for the server's: who removes or replaces it has taken its name
from the server's socket, so SECOND goes too; who renames it has renamed that, so the new name is made the server's. And
since nothing in Linux renames by inode, a name may be another's by the time of a step. So each step looks at what it got
in its hands, and if that is not what was believed to be there, it is put back (`_put`).

SECOND is our own by its name. Who is in front, serves; what for is not known here. More than one process may hold a Front
(the tap and its guardian), but only one of them may be at work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ..model.address import Address
from ..model.errors import AfunixError
from ..model.standing import Identity, Standing, judge
from .exchange import exchange, move
from .pathname import Place, hold
from .sighting import PIN

_ATTEMPTS = 100
"""Each is undone only if somebody changed a name in the microseconds since the look before."""

_LONGEST_BASE = 80
"""What /proc/self/fd/N/NAME has room for, whatever N is."""

_SUFFIX = b".tapped"


def second_base(base: bytes) -> bytes:
    """The second name beside `base`: always the same, so that a later run finds what an earlier one left."""
    if len(base) + len(_SUFFIX) <= _LONGEST_BASE:
        return base + _SUFFIX
    return b"%.40s~%08x%s" % (base, hash_of(base), _SUFFIX)


def hash_of(base: bytes) -> int:
    """FNV-1a, 32 bits: the same in every process, which `hash` is not."""
    number = 0x811C9DC5
    for byte in base:
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    return number


def identity_of(file: os.stat_result | None) -> Identity | None:
    return None if file is None else Identity(file.st_dev, file.st_ino)


@dataclass(frozen=True, slots=True)
class Front:
    """PATH and SECOND in one directory, and whose sockets they were.

    `pin` and `our_pin` are O_PATH descriptors of `theirs` and of `ours`, the caller's, open as long as this is used: an
    identity means nothing once its file is gone.
    """

    path: Place
    second: Place
    ours: Identity
    theirs: Identity
    pin: int
    our_pin: int

    def standing(self) -> Standing:
        at_path, at_second = identity_of(self.path.stat()), identity_of(self.second.stat())
        return judge(at_path, at_second, self.ours, self.theirs)

    def step_in(self) -> Standing:
        """Swap, if PATH is still the server's. Whatever else is answered: PATH is as others have left it.

        Raises:
            OSError: as `exchange`.
        """
        standing = self.standing()
        if standing is Standing.BESIDE:
            self._put(self.path, instead_of=self.theirs)
            standing = self.standing()
        return standing

    def step_back(self) -> Standing:
        """Swap back and remove SECOND. What is answered is how it stands now: BACK, or REMOVED or REPLACED by somebody
        else, whose doing is left as it is. Idempotent, but not to be called when somebody else may be in front.

        Raises:
            OSError: as `exchange`, and unlink(2): the directory is not ours to write any more.
        """
        for _ in range(_ATTEMPTS):
            standing = self.standing()
            if standing is Standing.IN_FRONT:
                self._put(self.path, instead_of=self.ours)
            elif standing is Standing.BESIDE:
                self._remove_second(self.ours)
            elif standing is Standing.ALONE:
                self._take_away()
            else:
                self._follow()
                self._remove_second(self.ours)
                if self._is_ours_gone():
                    self._remove_second(self.theirs)
                    return standing
        return self.standing()

    def _put(self, place: Place, *, instead_of: Identity) -> None:
        """Swap SECOND with `place`, which is believed to be `instead_of`. If it was another, that was put there since the
        look, and belongs there: then it is put back, until what comes out is what was there when we came, or what we
        had put there. A name that is missing now was removed by somebody: that ends it, too.
        """
        with ExitStack() as pins:
            put = self._pinned(pins, self.second)
            if put not in (self.ours, self.theirs):
                return
            for _ in range(_ATTEMPTS):
                try:
                    exchange(place.directory, place.base, self.second.directory, self.second.base)
                except FileNotFoundError:
                    return
                came = self._pinned(pins, self.second)
                if came is None or came == instead_of:
                    return
                put, instead_of = came, put

    def _pinned(self, pins: ExitStack, place: Place) -> Identity | None:
        """Whose inode no other file gets as long as it is held."""
        try:
            fd = os.open(place.base, PIN, dir_fd=place.directory)
        except FileNotFoundError:
            return None
        pins.callback(os.close, fd)
        return identity_of(os.fstat(fd))

    def _take_away(self) -> None:
        """PATH is ours, and SECOND was removed. Moved away first and looked at then: another's is moved back."""
        away = self.path.beside(b"%s.%d" % (self.second.base, os.getpid()))
        try:
            move(away.directory, self.path.base, away.base)
            if identity_of(away.stat()) == self.ours:
                away.unlink()
            else:
                move(away.directory, away.base, self.path.base)
        except (FileNotFoundError, FileExistsError):
            pass  # somebody was faster; it is looked at again

    def _is_ours_gone(self) -> bool:
        """Does no name lead to it any more? While one does, somebody may yet put it at PATH."""
        return os.fstat(self.our_pin).st_nlink == 0

    def _follow(self) -> None:
        """Has somebody renamed ours? What he wants there is the server's."""
        if identity_of(self.second.stat()) != self.theirs:
            return
        with _whereabouts(self.our_pin) as place:
            if place is not None and identity_of(place.stat()) == self.ours:
                self._put(place, instead_of=self.ours)

    def _remove_second(self, whose: Identity) -> None:
        if identity_of(self.second.stat()) == whose:
            self.second.unlink()


@contextmanager
def _whereabouts(pin: int) -> Iterator[Place | None]:
    """Where the file that `pin` holds was renamed to, as proc_pid_fd(5) has it: what is there is to be looked at. None:
    that cannot be reached from here.
    """
    try:
        place = hold(Address.pathname(os.readlink(b"/proc/self/fd/%d" % pin)))
    except (OSError, AfunixError):
        yield None
        return
    try:
        yield place
    finally:
        place.close()
