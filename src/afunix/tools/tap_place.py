"""Getting in front of a live socket: what is at the path is looked at, a socket of ours is made beside it that is like
it to clients, and what an earlier tap left behind is put right. Nothing is changed when this fails.

Ours has the mode, the owner, the group and the access control list of the server's file, so whoever may connect to the
one may connect to the other. The swap itself is `kernel.front`.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ..kernel import owners, sighting
from ..kernel.front import Front, first_bases, identity_of, second_base
from ..kernel.listener import Listener, Ownership
from ..kernel.pathname import Place, hold
from ..kernel.socket_table import read_table
from ..model.address import Address, AddressKind
from ..model.errors import (
    AddressError,
    AddressInUseError,
    AfunixError,
    DeniedError,
    NobodyListensError,
    NoSuchSocketError,
    NotASocketError,
    WrongTypeError,
    errno_name,
)
from ..model.escaping import quote
from ..model.ownership import FileKind, Holder, Verdict, judge
from ..model.socket_table import SocketEntry, TableState
from ..model.standing import Standing
from ..model.tap_notices import LeftoverMended, TapNotice

_ACL = "system.posix_acl_access"
_NO_ACL = (errno.ENODATA, errno.EOPNOTSUPP, errno.ENOSYS)

_UNDER_ANOTHER_NAME = "'tap --listen NEW PATH' stands between under another name, in a directory of your own"


@dataclass(frozen=True, slots=True)
class Target:
    """The server's socket: where it is, pinned by `pin` (O_PATH), and its type. `close()` closes both descriptors."""

    place: Place
    pin: int
    file: os.stat_result
    socket_type: str

    def is_live(self) -> bool:
        """Does somebody still listen there? A server notices nothing of the question."""
        return sighting.probe(self.pin) != errno.ECONNREFUSED

    def close(self) -> None:
        os.close(self.pin)
        self.place.close()


def find(path: Address, alerts: Callable[[TapNotice], None]) -> Target:
    """The live stream or seqpacket socket at `path`; a symbolic link is followed. The caller closes it.

    Raises:
        AfunixError: there is none, it is no socket or of another type, nobody listens, or it is tapped already.
    """
    if path.kind is not AddressKind.PATHNAME:
        raise AddressError(
            f"{quote(str(path))} has no file that could be swapped: a path is expected",
            hint="'tap --listen NEW ADDRESS' stands between under another name",
        )
    with ExitStack() as opened:
        try:
            place = hold(Address.pathname(os.path.realpath(path.name)))
        except OSError as error:
            raise _not_found(path, error) from None
        opened.callback(place.close)
        _must_be_a_first_name(path, place)
        _mend_leftover(path, place, alerts)
        try:
            pin = os.open(place.base, sighting.PIN, dir_fd=place.directory)
        except OSError as error:
            raise _not_found(path, error) from None
        opened.callback(os.close, pin)
        file = os.fstat(pin)
        target = Target(place, pin, file, _checked_type(path, pin, file))
        opened.pop_all()
        return target


def type_at(path: Address) -> str:
    """What clients of the live socket at `path`, a path or an abstract name, have to be.

    Raises:
        AfunixError: as `find`; nobody listens under the abstract name.
    """
    if path.kind is not AddressKind.PATHNAME:
        for entry in read_table().sockets.values():
            if entry.address == path and entry.state is TableState.LISTENING:
                return entry.type
        raise NobodyListensError(
            f"nobody listens on {quote(str(path))}: expected a live socket (ECONNREFUSED)"
        )
    with ExitStack() as opened:
        try:
            place = hold(Address.pathname(os.path.realpath(path.name)))
            opened.callback(place.close)
            pin = os.open(place.base, sighting.PIN, dir_fd=place.directory)
        except OSError as error:
            raise _not_found(path, error) from None
        opened.callback(os.close, pin)
        return _checked_type(path, pin, os.fstat(pin))


def must_be_another(new: Address, path: Address) -> None:
    """To stand between, a tap needs a name that is not the server's.

    Raises:
        AddressError: `new` is `path` itself, perhaps spelled otherwise.
    """
    is_path = new.kind is path.kind is AddressKind.PATHNAME
    if new == path or (is_path and os.path.realpath(new.name) == os.path.realpath(path.name)):
        raise AddressError(
            f"{quote(str(new))} is {quote(str(path))} itself: expected another name to listen on",
            hint="without --listen the tap stands in front of it",
        )


def _not_found(path: Address, error: OSError) -> AfunixError:
    number = error.errno or 0
    kind = DeniedError if number in (errno.EACCES, errno.EPERM) else NoSuchSocketError
    return kind(
        f"{quote(str(path))} cannot be tapped: expected a live socket there, found none ({errno_name(number)})",
        hint=f"'afunix check {path}' tells what is missing",
        errno=number,
    )


def _checked_type(path: Address, pin: int, file: os.stat_result) -> str:
    kind = FileKind.of(file.st_mode)
    if kind is not FileKind.SOCKET:
        raise NotASocketError(f"{quote(str(path))} is {kind.value}, expected a socket")
    answer = sighting.probe(pin)
    if answer == errno.ECONNREFUSED:
        raise NobodyListensError(
            f"nobody listens on {quote(str(path))}: expected a live socket, found a stale file (ECONNREFUSED)",
            hint=f"start its server first; 'afunix check {path}' tells more",
            errno=answer,
        )
    if answer == errno.EACCES:
        raise DeniedError(
            f"{quote(str(path))} may not be connected to by uid {os.geteuid()} (EACCES): who taps it has to",
            errno=answer,
        )
    if answer == 0:
        raise WrongTypeError(
            f"{quote(str(path))} is a datagram socket, expected stream or seqpacket: it has no connections (EPROTOTYPE)",
            hint="'relay --type dgram' can stand between under another name",
        )
    for entry in _entries_of(file):
        if entry.state is TableState.LISTENING:
            return entry.type
        if entry.state is TableState.UNCONNECTED:
            raise NobodyListensError(
                f"the socket at {quote(str(path))} is bound, and does not listen yet: expected a live one"
            )
    return _type_by_asking(pin)


def _entries_of(file: os.stat_result) -> list[SocketEntry]:
    """What the table has of sockets that were bound to it; first those whose device is certain."""
    found = [
        entry
        for entry in read_table().sockets.values()
        if entry.file is not None and entry.file.inode == file.st_ino & 0xFFFFFFFF
    ]
    return sorted(found, key=lambda entry: entry.file is None or entry.file.device != file.st_dev)


def _type_by_asking(pin: int) -> str:
    """Of a server in another network namespace, which no table of ours has. One for records sees a client that goes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.setblocking(False)
        is_other = sock.connect_ex(f"/proc/self/fd/{pin}") == errno.EPROTOTYPE
    return "stream" if is_other else "seqpacket"


def _must_be_a_first_name(path: Address, place: Place) -> None:
    """A tap of another name looks after what is under its second one: two of them would take it from each other."""
    for first in map(place.beside, first_bases(place.base, place.directory)):
        file = first.stat()
        if file is not None and stat.S_ISSOCK(file.st_mode):
            raise AddressInUseError(
                f"{quote(str(path))} is where a tap of {quote(str(first.address))} keeps its server's socket,"
                " expected a name of a server's own (EEXIST)",
                hint=f"tap {first.address}; 'tap --listen NEW {path}' stands between under another name",
                errno=errno.EEXIST,
            )


def _mend_leftover(path: Address, place: Place, alerts: Callable[[TapNotice], None]) -> None:
    """A socket under the second name is another tap's, or was left when a tap and its guardian were killed."""
    second = place.beside(second_base(place.base))
    with sighting.look_at(second) as beside, sighting.look_at(place) as here:
        if judge(beside.seen) not in (Verdict.LIVE, Verdict.UNKNOWN):
            return
        holders = owners.holders_of_path(second.address.name)
        verdict = judge(here.seen)
        if not holders and verdict is Verdict.FREE:
            return  # removed since: then that is to be said
        if holders or verdict is not Verdict.STALE:
            raise _tapped_already(path, second, holders)
        ours, theirs = identity_of(here.file), identity_of(beside.file)
        assert ours is not None and theirs is not None
        with _pinned(place) as our_pin, _pinned(second) as pin:
            if Front(place, second, ours, theirs, pin, our_pin).step_back() is Standing.BACK:
                alerts(LeftoverMended(str(path)))


def _tapped_already(path: Address, second: Place, holders: Sequence[Holder]) -> AddressInUseError:
    by = ", by " + " and ".join(holder.describe() for holder in holders) if holders else ""
    return AddressInUseError(
        f"{quote(str(path))} is tapped already{by}: {quote(str(second.address))} is its server's socket,"
        " expected no such name (EEXIST)",
        hint="stop that tap first"
        if holders
        else f"stop that tap first; if none runs, remove {second.address}",
        errno=errno.EEXIST,
    )


@contextmanager
def _pinned(place: Place) -> Iterator[int]:
    fd = os.open(place.base, sighting.PIN, dir_fd=place.directory)
    try:
        yield fd
    finally:
        os.close(fd)


def open_beside(target: Target, backlog: int | None) -> tuple[Listener, Front]:
    """Our socket, like the server's and ready, under the second name; the caller closes it, and the Front's `our_pin`.

    Raises:
        AfunixError: it cannot be made, or not like the server's.
    """
    place, file = target.place, target.file
    second = place.beside(second_base(place.base))
    mode = stat.S_IMODE(file.st_mode) & 0o777
    try:
        listener = Listener.open(
            second.address,
            target.socket_type,
            Ownership(
                mode & 0o700,  # whom a list that it inherits would let in, too, that keeps out
                None if file.st_uid == os.geteuid() else file.st_uid,
                None if file.st_gid == os.getegid() else file.st_gid,
            ),
            backlog=backlog,
            accepts_fds=True,
        )
    except DeniedError as error:
        raise DeniedError(
            f"{quote(str(place.address))} cannot be tapped: {error}",
            hint=_hint_of_the_denied(),
            errno=error.errno,
        ) from None
    with ExitStack() as opened:
        opened.callback(listener.close)
        our_pin = os.open(second.base, sighting.PIN, dir_fd=second.directory)
        opened.callback(os.close, our_pin)
        try:
            _copy_acl(target.pin, our_pin)
            os.chmod(_through(our_pin), mode)
        except OSError as error:
            raise DeniedError(
                f"the access control list of {quote(str(place.address))} cannot be given to a socket of ours"
                f" ({errno_name(error.errno or 0)}): expected it to be like the server's",
                errno=error.errno,
            ) from None
        ours, theirs = identity_of(os.fstat(our_pin)), identity_of(file)
        assert ours is not None and theirs is not None
        opened.pop_all()
        return listener, Front(place, second, ours, theirs, target.pin, our_pin)


def _hint_of_the_denied() -> str:
    """Root can give a socket away, and write anywhere, but for what is read-only or immutable."""
    return _UNDER_ANOTHER_NAME if os.geteuid() == 0 else f"run it as root; or {_UNDER_ANOTHER_NAME}"


def _copy_acl(pin: int, our_pin: int) -> None:
    """Where theirs has none, ours may have inherited one from the directory's default (acl(5)): then that goes. The mode
    is to be set afterwards. A file system without lists has none to copy.
    """
    try:
        acl = os.getxattr(_through(pin), _ACL)
    except OSError as error:
        if error.errno not in _NO_ACL:
            raise
        try:
            os.removexattr(_through(our_pin), _ACL)
        except OSError as without:
            if without.errno not in _NO_ACL:
                raise
    else:
        os.setxattr(_through(our_pin), _ACL, acl)


def _through(pin: int) -> str:
    """The file that is pinned, whatever its name leads to by now."""
    return f"/proc/self/fd/{pin}"


def step_in(front: Front) -> None:
    """Swap the names.

    Raises:
        AfunixError: the directory, or the file system, does not allow it, or the server was replaced meanwhile. Nothing
            was changed.
    """
    path = quote(str(front.path.address))
    try:
        standing = front.step_in()
    except OSError as error:
        raise _explain(error, front) from None
    if standing is not Standing.IN_FRONT:
        raise AddressInUseError(
            f"{path} was exchanged by another program while it was being tapped: {standing.value}"
        )


def _explain(error: OSError, front: Front) -> AfunixError:
    number = error.errno or 0
    path = quote(str(front.path.address))
    if number == errno.EBUSY:
        return AfunixError(
            f"{path} is a mount point, and its name cannot be swapped (EBUSY)",
            hint=f"tap it where it was mounted from; or {_UNDER_ANOTHER_NAME}",
            errno=number,
        )
    if number in (errno.EPERM, errno.EACCES):
        in_sticky = (
            "in a sticky directory (/tmp) only the owner of a file renames it: run it as that user, or as root;"
            f" or {_UNDER_ANOTHER_NAME}"
        )
        return DeniedError(
            f"the names of {path} and of our socket beside it may not be swapped by uid {os.geteuid()}"
            f" ({errno_name(number)}): expected the right to rename both",
            hint=_UNDER_ANOTHER_NAME if os.geteuid() == 0 else in_sticky,
            errno=number,
        )
    return AfunixError(
        f"the names of {path} and of our socket beside it cannot be swapped ({errno_name(number)}):"
        " expected a file system with RENAME_EXCHANGE",
        hint=_UNDER_ANOTHER_NAME,
        errno=number,
    )
