"""What is at a place: facts of one inode, which stays pinned while they are used.

lstat(2) and a probe, asked through one O_PATH descriptor, so that both answers are about the same file
whatever happens to its name meanwhile. What they mean is judged in `model.ownership`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..model.ownership import NOTHING_THERE, FileKind, Sighting
from .pathname import Place

PIN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
"""Opens the file itself, be it a symbolic link, without any right on it; pins its inode until closed."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen, and the inode (None: nothing is there)."""

    seen: Sighting
    file: os.stat_result | None


@contextmanager
def look_at(place: Place) -> Iterator[Look]:
    """Look, changing nothing; the inode is pinned until the end of the `with`."""
    try:
        fd = os.open(place.base, PIN, dir_fd=place.directory)
    except FileNotFoundError:
        yield Look(NOTHING_THERE, None)
        return
    try:
        file = os.fstat(fd)
        kind = FileKind.of(file.st_mode)
        answer = probe(fd) if kind is FileKind.SOCKET else None
        yield Look(Sighting(kind, answer, file.st_uid), file)
    finally:
        os.close(fd)


def abstract_name_may_exist(name: bytes) -> bool:
    """Does the text of this network namespace's table hold the abstract `name`? Quick where there are many sockets,
    because nothing is parsed; it may say yes for another name, and says so where the table cannot be read.
    """
    try:
        with open("/proc/net/unix", "rb") as file:
            return b" @" + name.replace(b"\0", b"@") in file.read()
    except OSError:
        return True


def probe(fd: int) -> int:
    """The errno of connecting a datagram socket to the socket file that `fd` pins; 0 if it connects.

    Never waits, and no stream or seqpacket server notices: theirs is another type, and the kernel looks no further.
    A datagram server gets nothing to read, but is connected to for a moment, and the table calls it connected from
    then on (`ss` says ESTAB, without a peer; since Linux 5.15). Who must leave no trace asks the table first.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        return sock.connect_ex(f"/proc/self/fd/{fd}")
