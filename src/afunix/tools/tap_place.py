"""What is to be tapped: the live socket at a path, and what an earlier tap has left there, which is put right.

A server notices nothing of the questions. What is made beside it, and the swap, is `tap_beside`'s.
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

UNDER_ANOTHER_NAME = "'tap --listen NEW PATH' stands between under another name, in a directory of your own"


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
        hint="stop that tap first" if holders else f"stop that tap first; if none runs, {UNDER_ANOTHER_NAME}",
        errno=errno.EEXIST,
    )


@contextmanager
def _pinned(place: Place) -> Iterator[int]:
    fd = os.open(place.base, sighting.PIN, dir_fd=place.directory)
    try:
        yield fd
    finally:
        os.close(fd)
