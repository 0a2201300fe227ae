"""Whose is the path? Facts about what is there become a verdict, and the verdict the words of a refusal.

    lstat says        a SOCK_DGRAM socket connects to it      verdict    who wants to bind there
    nothing           -                                       FREE       binds
    a socket          ECONNREFUSED                            STALE      removes it under the lock, and binds
    a socket          success, EPROTOTYPE, EPERM, EAGAIN      LIVE       is refused, or takes over if told to
    a socket          anything else: EACCES, ENOMEM, …        UNKNOWN    is refused
    any other file    -                                       FOREIGN    is refused, and touches nothing

ECONNREFUSED alone proves nothing: a regular file, a directory and a FIFO answer with it too. EPROTOTYPE comes
from a stream or seqpacket socket in every state from bind to close, so a server that has not called listen
yet counts as live; a datagram socket answers with success, or with EPERM if it talks to one peer only
(unix(7), Linux 6.18).

Pure. `kernel.socket_file` looks and acts; a second column for new facts belongs here.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from .address import Address
from .errors import AddressInUseError, AfunixError, NotASocketError, errno_name
from .escaping import escape, quote


class FileKind(Enum):
    """What lstat(2) finds at a path, in the words of a message."""

    NOTHING = "nothing"
    SOCKET = "a socket"
    REGULAR = "a regular file"
    DIRECTORY = "a directory"
    SYMLINK = "a symbolic link"
    FIFO = "a FIFO"
    CHARACTER_DEVICE = "a character device"
    BLOCK_DEVICE = "a block device"
    OTHER = "another kind of file"

    @classmethod
    def of(cls, mode: int) -> FileKind:
        """The kind that `st_mode` tells."""
        return _KINDS.get(stat.S_IFMT(mode), cls.OTHER)


_KINDS = {
    stat.S_IFSOCK: FileKind.SOCKET,
    stat.S_IFREG: FileKind.REGULAR,
    stat.S_IFDIR: FileKind.DIRECTORY,
    stat.S_IFLNK: FileKind.SYMLINK,
    stat.S_IFIFO: FileKind.FIFO,
    stat.S_IFCHR: FileKind.CHARACTER_DEVICE,
    stat.S_IFBLK: FileKind.BLOCK_DEVICE,
}

CONNECTED = 0
"""The probe's answer where connect(2) succeeded."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was found at a path: facts of one inode.

    `probe` is the errno of connecting a SOCK_DGRAM socket to it, CONNECTED for success, None if it was not
    tried; `owner` is the uid of the file, None where there is none.
    """

    kind: FileKind
    probe: int | None = None
    owner: int | None = None


NOTHING_THERE = Sighting(FileKind.NOTHING)

NAME_TAKEN = Sighting(FileKind.SOCKET, CONNECTED)
"""An abstract name that bind(2) refused. Such a name ends with its socket, so it is never stale."""


class Verdict(Enum):
    """What a sighting means for somebody who wants to bind there; the table on top of this file."""

    FREE = "free"
    STALE = "stale"
    LIVE = "live"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


_PROBE_VERDICTS = {
    errno.ECONNREFUSED: Verdict.STALE,
    CONNECTED: Verdict.LIVE,
    errno.EPROTOTYPE: Verdict.LIVE,
    errno.EPERM: Verdict.LIVE,
    errno.EAGAIN: Verdict.LIVE,
}


def judge(seen: Sighting) -> Verdict:
    """The verdict on what was found. Total: an answer nobody thought of is UNKNOWN, so nothing is removed."""
    if seen.kind is FileKind.NOTHING:
        return Verdict.FREE
    if seen.kind is not FileKind.SOCKET:
        return Verdict.FOREIGN
    if seen.probe is None:
        return Verdict.UNKNOWN
    return _PROBE_VERDICTS.get(seen.probe, Verdict.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a socket of that name open. For display only: it may be gone by now."""

    pid: int
    comm: str | None
    uid: int | None

    def describe(self) -> str:
        """`pid 412 (nginx)`; the name, which the process chose itself, is escaped."""
        return f"pid {self.pid}" if self.comm is None else f"pid {self.pid} ({escape(self.comm)})"


MAX_HOLDERS_NAMED = 3
"""A pre-forking server has dozens of processes on one socket; the first few tell which server it is."""


def refusal(
    address: Address, seen: Sighting, holders: Sequence[Holder] = (), owner_name: str | None = None
) -> AfunixError:
    """The error for an address that may not be bound: what is there, whose it is, and the next step.

    `holders` are those that could be seen; `owner_name` is the name of the uid `seen.owner`, if it has one.
    """
    verdict = judge(seen)
    if verdict is Verdict.FOREIGN:
        return NotASocketError(
            f"{quote(address.format())} is {seen.kind.value}, and a socket was to be made there;"
            " it is left as it is (EADDRINUSE)",
            hint="choose another path, or move that file away",
        )
    who = describe_holders(holders) if holders else _describe_owner(seen.owner, owner_name)
    if verdict is Verdict.UNKNOWN:
        return AddressInUseError(
            f"{quote(address.format())} may be in use: connecting to it, to find out, failed"
            f" ({errno_name(seen.probe)}); {who}",
            hint="choose another path, or ask its owner",
        )
    return AddressInUseError(
        f"{quote(address.format())} is in use: {who} (EADDRINUSE)",
        hint="stop that one, or choose another address",
    )


def describe_holders(holders: Sequence[Holder]) -> str:
    """`pid 412 (nginx) holds it`; at least one, and of many the first few."""
    named = [holder.describe() for holder in holders[:MAX_HOLDERS_NAMED]]
    if len(holders) > MAX_HOLDERS_NAMED:
        named.append(f"{len(holders) - MAX_HOLDERS_NAMED} more")
    if len(named) == 1:
        return f"{named[0]} holds it"
    return f"{', '.join(named[:-1])} and {named[-1]} hold it"


def _describe_owner(uid: int | None, name: str | None) -> str:
    if uid is None:
        return "its process is not visible from here"
    return f"it belongs to uid {uid}" + (f" ({escape(name)})" if name is not None else "")
