"""A socket of ours in front of a live one: the two names swapped, and swapped back, with no moment in between.

    before      PATH is the server's, SECOND is ours, bound and listening
    in front    PATH is ours, SECOND is the server's (renameat2, RENAME_EXCHANGE): clients find the one or the other
    back        PATH is the server's, SECOND is removed

What others do to PATH while it leads to ours they mean for the server's: who removes or replaces it has taken its name
from the server's socket, so SECOND goes too; who renames it has renamed that, so the new name is made the server's. And
since nothing in Linux renames by inode, a name may be another's by the time of a step: see `_Hand`.

SECOND is our own by its name. Who is in front, serves; what for is not known here. More than one process may hold a Front
(the tap and its guardian), but only one of them may be at work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from ..model.address import Address
from ..model.errors import AfunixError
from ..model.standing import Identity, Standing, judge
from .exchange import exchange, move
from .pathname import Place, hold
from .sighting import PIN
from .socket_table import read_table

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


def first_bases(base: bytes, directory: int) -> list[bytes]:
    """The names, perhaps in `directory`, that `base` is the second one of. Long ones are found if that may be read."""
    if not base.endswith(_SUFFIX):
        return []
    bases = [base.removesuffix(_SUFFIX)]
    if b"~" in base:
        with suppress(OSError):
            bases += os.listdir(b"/proc/self/fd/%d" % directory)
    return [first for first in bases if first and second_base(first) == base]


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
            with _Hand(self) as hand:
                if hand.swap(self.path) not in (None, self.theirs):
                    hand.settle()
            standing = self.standing()
        return standing

    def step_back(self) -> Standing:
        """Swap back and remove SECOND. What is answered is how it stands now: BACK, or REMOVED or REPLACED by somebody
        else, whose doing is left as it is. Idempotent, also if another one has come in front since.

        Raises:
            OSError: as `exchange`, and unlink(2): the directory is not ours to write any more.
        """
        for _ in range(_ATTEMPTS):
            if identity_of(self.second.stat()) == self.theirs:
                with _Hand(self) as hand:
                    hand.settle()
            standing = self.standing()
            if standing is Standing.ALONE:
                if not self._bring_back():
                    self._take_away()
            elif standing is Standing.IN_FRONT:
                continue
            elif self._remove_second(self.ours):  # from here on another one may come in front
                return Standing.BACK if standing is Standing.BESIDE else standing
            elif self._is_ours_gone():
                if not self._is_another_in_front():
                    self._remove_second(self.theirs)
                return standing
        return self.standing()

    def _bring_back(self) -> bool:
        """PATH is ours, and SECOND was renamed: swapped from where it is now. False: it is nowhere, or out of reach."""
        with _whereabouts(self.pin) as place:
            if place is None or identity_of(place.stat()) != self.theirs:
                return False
            try:
                exchange(place.directory, place.base, self.path.directory, self.path.base)
                if identity_of(place.stat()) == self.ours:
                    place.unlink()
                else:  # somebody was faster, and has put that at PATH; it is looked at again
                    exchange(place.directory, place.base, self.path.directory, self.path.base)
            except FileNotFoundError:
                return True
            except OSError:
                return False
        return True

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

    def _is_another_in_front(self) -> bool:
        """Is what replaced ours a socket that was bound as SECOND? Then that name is not ours any more."""
        identity = identity_of(self.path.stat())
        return identity is not None and any(
            entry.file is not None
            and entry.file.inode == identity.inode & 0xFFFFFFFF
            and os.path.basename(entry.address.name) == self.second.base
            for entry in read_table().sockets.values()
        )

    def _is_ours_gone(self) -> bool:
        """Does no name lead to it any more? While one does, somebody may yet put it at PATH."""
        return os.fstat(self.our_pin).st_nlink == 0

    def _remove_second(self, whose: Identity) -> bool:
        if identity_of(self.second.stat()) != whose:
            return False
        self.second.unlink()
        return True


class _Hand:
    """SECOND as a hand that holds one file, and puts it where it belongs by a swap with what stands there for it.

    What comes out of a swap is looked at. If it is not what was believed to be there, somebody has put it there since the
    look: then it belongs there, what was put stands there for it, and is now looked for in its turn, wherever it has
    been renamed to. It ends when ours is in the hand, or nothing stands for what is. Each file is pinned: its inode is
    no other's meanwhile.
    """

    def __init__(self, front: Front) -> None:
        self._front = front
        self._pins = {front.ours: front.our_pin, front.theirs: front.pin}
        self._stands_for = {front.ours: front.theirs}
        self._opened = ExitStack()

    def __enter__(self) -> _Hand:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def settle(self) -> None:
        for _ in range(_ATTEMPTS):
            held = self._held()
            if held is None or held == self._front.ours:
                return
            stand_in = next((stand_in for stand_in, real in self._stands_for.items() if real == held), None)
            if stand_in is None:
                return
            with self._found(stand_in) as place:
                if place is None:
                    return
                self.swap(place)

    def swap(self, place: Place) -> Identity | None:
        """What came; None: nothing was done, for one of the two has no name any more."""
        second = self._front.second
        put = self._held()
        try:
            exchange(place.directory, place.base, second.directory, second.base)
        except FileNotFoundError:
            return None
        came = self._held()
        if put is not None and came is not None:
            if self._stands_for.get(came) == put:
                del self._stands_for[came]
            else:
                self._stands_for[put] = came
        return came

    def _held(self) -> Identity | None:
        second = self._front.second
        try:
            fd = os.open(second.base, PIN, dir_fd=second.directory)
        except FileNotFoundError:
            return None
        self._opened.callback(os.close, fd)
        identity = identity_of(os.fstat(fd))
        assert identity is not None
        self._pins.setdefault(identity, fd)
        return identity

    @contextmanager
    def _found(self, wanted: Identity) -> Iterator[Place | None]:
        if identity_of(self._front.path.stat()) == wanted:
            yield self._front.path
            return
        with _whereabouts(self._pins[wanted]) as place:
            yield place if place is not None and identity_of(place.stat()) == wanted else None


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
