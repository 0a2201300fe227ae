"""A socket of ours in front of a live one: the two names swapped, and swapped back, with no moment in between.

    before      PATH is the server's, SECOND is ours, bound and listening
    in front    PATH is ours, SECOND is the server's (renameat2, RENAME_EXCHANGE): clients find the one or the other
    back        PATH is the server's, SECOND is removed

Nothing in Linux renames by inode, so between a look and a step somebody else may change a name. Each step is looked at
again afterwards and undone if it hit the wrong file. Somebody who removes or replaces PATH while it leads to ours meant
the server's socket: that has lost its name then, and SECOND goes too.

Who is in front, serves; what for is not known here. More than one process may hold a Front (the tap and its guardian):
each step is good whoever does it, and if both do.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from ..model.standing import Identity, Standing, judge
from .exchange import exchange
from .pathname import Place

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
    """PATH and SECOND in one directory, and whose sockets they were. Whoever holds it keeps both sockets' files pinned,
    `ours` by the open socket and `theirs` by an O_PATH descriptor, or the identities mean nothing.
    """

    path: Place
    second: Place
    ours: Identity
    theirs: Identity

    def standing(self) -> Standing:
        at_path, at_second = identity_of(self.path.stat()), identity_of(self.second.stat())
        return judge(at_path, at_second, self.ours, self.theirs)

    def step_in(self) -> Standing:
        """Swap, if PATH is still the server's. Whatever else is answered: nothing was changed.

        Raises:
            OSError: as `exchange`.
        """
        standing = self.standing()
        if standing is Standing.BESIDE:
            self._swap()
            standing = self.standing()
            if standing is not Standing.IN_FRONT and identity_of(self.path.stat()) == self.ours:
                self._swap()  # the server's path was exchanged since the look, and that went to SECOND
                standing = Standing.REPLACED
        return standing

    def step_back(self) -> Standing:
        """Swap back and remove SECOND. What is answered is how it stands now: BACK, or REMOVED or REPLACED by somebody
        else, whose doing is left as it is. Idempotent.

        Raises:
            OSError: as `exchange`, and unlink(2): the directory is not ours to write any more.
        """
        for _ in range(_ATTEMPTS):
            standing = self.standing()
            if standing is Standing.IN_FRONT:
                self._swap_back()
            elif standing is Standing.BESIDE:
                self._remove(self.second, self.ours)
            elif standing is Standing.ALONE:
                self._remove(self.path, self.ours)
            else:
                self._remove(self.second, self.theirs)
                return standing
        return self.standing()

    def _swap_back(self) -> None:
        with suppress(FileNotFoundError):  # one of them was removed since the look
            self._swap()
            if identity_of(self.second.stat()) != self.ours:
                self._swap()  # PATH was exchanged since the look

    def _swap(self) -> None:
        exchange(self.path.directory, self.path.base, self.second.base)

    def _remove(self, place: Place, whose: Identity) -> None:
        if identity_of(place.stat()) == whose:
            place.unlink()
