"""Why a connection was refused: facts about an address become the error that a person reads. Pure.

    errno          what else is known                       error
    ENOENT         nothing there, or a directory missing    NoSuchSocketError
    ECONNREFUSED   no socket at the path                    NotASocketError
    ECONNREFUSED   a socket                                 NobodyListensError: stale, or not listening
    EACCES         which directory, or the socket's mode    DeniedError
    EPERM          a datagram socket that has its peer      DeniedError
    EPERM EROFS    a file that nobody may write to          NotASocketError
    EPROTOTYPE     the type that it really has              WrongTypeError
    ELOOP ENOTDIR  where                                    NoSuchSocketError
    EAGAIN         the backlog is full                      TimedOutError, once nobody waits any more

ECONNREFUSED alone proves nothing: the kernel says it for a regular file, too. `kernel.dial` gathers the
facts.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from .address import Address, AddressKind
from .errors import (
    AddressError,
    AfunixError,
    DeniedError,
    NobodyListensError,
    NoSuchSocketError,
    NotASocketError,
    TimedOutError,
    WrongTypeError,
    errno_name,
)
from .escaping import escape, quote
from .ownership import FileKind
from .patience import show_seconds

WORTH_WAITING_FOR = frozenset({errno.ENOENT, errno.ECONNREFUSED, errno.EACCES, errno.EAGAIN})
"""What can pass while a server starts. EACCES too: between its bind and its listen the mode may not be final.
"""

_WAITS = "; '--wait 10s' waits for it"
"""The end of a hint, for those who have not waited."""
_REPLACES = "; 'afunix serve' replaces stale socket files"
_LEAVE_OUT = "leave --type out: it is found out"

_IN_PROGRAM = {
    _WAITS: "; wait=10 waits for it",
    _REPLACES: "; serve() and listen() replace stale socket files",
    _LEAVE_OUT: "connect() is for stream, connect_packets() for seqpacket, open_datagrams() for dgram",
}
"""What a hint says to somebody who writes a program instead."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What connect(2) said of `address`, and what was found there a moment later.

    `obstructed` is the leading part of the path at which the way ends (missing, no directory, not
    searchable), None if the way is free. `is_bound`: a process has the socket open, though it may not listen.
    `owner` is the file's user and `person` the one who asks, both as they are to be shown.
    """

    address: Address
    errno: int
    kind: FileKind = FileKind.NOTHING
    link_target: bytes | None = None
    obstructed: bytes | None = None
    is_bound: bool = False
    mode: int = 0
    owner: str = ""
    person: str = ""
    wanted_type: str = "stream"
    found_type: str | None = None

    @property
    def shown(self) -> str:
        return quote(self.address.format())

    @property
    def code(self) -> str:
        return errno_name(self.errno)


def refusal(obstacle: Obstacle, *, in_program: bool = False) -> AfunixError:
    """The error for an address that cannot be connected to, with the next step as its hint: one at the shell, or
    with `in_program` one for who writes a program.
    """
    judge = _JUDGES.get(obstacle.errno)
    if judge is None:
        return AfunixError(f"{obstacle.shown} cannot be connected to ({obstacle.code})", errno=obstacle.errno)
    error = judge(obstacle)
    if in_program and error.hint is not None:
        for at_the_shell, instead in _IN_PROGRAM.items():
            error.hint = error.hint.replace(at_the_shell, instead)
    return error


def gave_up(seconds: float, last: AfunixError) -> TimedOutError:
    """The error for a deadline that passed while `last` stood in the way."""
    hint = last.hint and last.hint.removesuffix(_WAITS).removesuffix(_IN_PROGRAM[_WAITS])
    return TimedOutError(f"no connection within {show_seconds(seconds)}: {last.message}", hint=hint)


def describe_user(uid: int, name: str | None) -> str:
    """`uid 1000 (ana)`, the name escaped."""
    return f"uid {uid} ({escape(name)})" if name else f"uid {uid}"


def _missing(it: Obstacle) -> AfunixError:
    if it.obstructed is not None:
        return NoSuchSocketError(
            f"{it.shown} does not exist: there is no directory {quote(it.obstructed)} (ENOENT)",
            hint="check the path, or start the server that makes it",
        )
    if it.link_target is not None:
        return NoSuchSocketError(
            f"{it.shown} is a symbolic link to {quote(it.link_target)}, which does not exist (ENOENT)",
            hint="start the server that makes it",
        )
    return NoSuchSocketError(f"{it.shown} does not exist (ENOENT)", hint=f"start its server{_WAITS}")


def _refused(it: Obstacle) -> AfunixError:
    if it.address.kind is AddressKind.ABSTRACT:
        return NobodyListensError(
            f"nobody listens on the abstract name {it.shown} (ECONNREFUSED)",
            hint="start its server; one in another network namespace cannot be reached",
        )
    if it.kind not in (FileKind.SOCKET, FileKind.NOTHING):
        return NotASocketError(
            f"{it.shown} is {it.kind.value}, and a socket was expected (ECONNREFUSED)",
            hint="check the path",
            errno=it.errno,
        )
    if it.is_bound:
        return NobodyListensError(
            f"{it.shown} is bound, but its process does not listen (ECONNREFUSED)",
            hint=f"it may be starting or stopping{_WAITS}",
        )
    return NobodyListensError(
        f"{it.shown} exists but nobody listens (stale socket file, ECONNREFUSED)",
        hint=f"start its server{_REPLACES}",
    )


def _denied(it: Obstacle) -> AfunixError:
    if it.obstructed is not None:
        needs = f"connecting to {it.shown} needs search permission on {quote(it.obstructed)}"
    elif it.kind is FileKind.SOCKET:
        needs = f"connecting needs write permission on {it.shown}"
    else:
        return DeniedError(f"{it.shown} may not be connected to (EACCES); you are {it.person}")
    return DeniedError(
        f"{needs} (mode {it.mode:04o}, owner {it.owner}); you are {it.person} (EACCES)",
        hint="ask its owner, or connect as that user",
    )


def _has_its_peer(it: Obstacle) -> AfunixError:
    if it.kind not in (FileKind.SOCKET, FileKind.NOTHING):
        return _unwritable(it)
    return DeniedError(
        f"{it.shown} is a dgram socket that takes datagrams from its own peer only (EPERM)",
        hint="its process has connected it to somebody else",
        errno=it.errno,
    )


def _unwritable(it: Obstacle) -> AfunixError:
    """Of what is no socket the kernel says first that it, or its file system, takes no writing (fs/namei.c)."""
    if it.kind in (FileKind.SOCKET, FileKind.NOTHING):
        return AfunixError(f"{it.shown} cannot be connected to ({it.code})", errno=it.errno)
    return NotASocketError(
        f"{it.shown} is {it.kind.value}, and a socket was expected ({it.code})",
        hint="check the path",
        errno=it.errno,
    )


def _wrong_type(it: Obstacle) -> AfunixError:
    found = f"is a {it.found_type} socket" if it.found_type else "is a socket of another type"
    return WrongTypeError(
        f"{it.shown} {found}, and {it.wanted_type} was asked for (EPROTOTYPE)",
        hint=_LEAVE_OUT,
    )


def _loop(it: Obstacle) -> AfunixError:
    return NoSuchSocketError(
        f"{it.shown}: too many symbolic links on the way (ELOOP)",
        hint="'namei' on the path shows where they lead",
        errno=it.errno,
    )


def _no_directory(it: Obstacle) -> AfunixError:
    where = quote(it.obstructed) if it.obstructed is not None else "a part of the path"
    return NoSuchSocketError(
        f"{it.shown} does not exist: {where} is not a directory (ENOTDIR)",
        hint="check the path",
        errno=it.errno,
    )


def _too_long(it: Obstacle) -> AfunixError:
    return AddressError(f"a part of {it.shown} is longer than the file system allows (ENAMETOOLONG)")


def _full(it: Obstacle) -> AfunixError:
    return TimedOutError(
        f"the backlog of {it.shown} is full: its process is there, but does not accept (EAGAIN)",
        hint="it is busy, or stopped",
        errno=it.errno,
    )


_JUDGES = {
    errno.ENOENT: _missing,
    errno.ECONNREFUSED: _refused,
    errno.EACCES: _denied,
    errno.EPERM: _has_its_peer,
    errno.EROFS: _unwritable,
    errno.EPROTOTYPE: _wrong_type,
    errno.ELOOP: _loop,
    errno.ENOTDIR: _no_directory,
    errno.ENAMETOOLONG: _too_long,
    errno.EAGAIN: _full,
}
