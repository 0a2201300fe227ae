"""The kernel's table of Unix sockets, asked by sock_diag(7); /proc/net/unix where the kernel or a sandbox refuses.

sock_diag tells what nothing else does: who is the peer, how many wait in a backlog and who, which socket file a
name stands for; and it tells names as bytes, so that a file called `@x` is no abstract name, and a newline in a
name forges no row. It is spoken here by itself, one message format and eight attributes.

Both sources know this network namespace only, and neither a process: `owners` does. A table is no snapshot:
sockets come and go while it is read. Facts only; what they mean is `model.listing`'s and `model.reachability`'s.
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..model.address import Address
from ..model.socket_table import FileIdentity, Shutdown, SocketEntry, TableState
from .fallbacks import is_forced
from .proc_net_unix import parse

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3

_HEADER = struct.Struct("=IHHII")  # length type flags sequence port
_QUESTION = struct.Struct("=BBHIIIII")  # family protocol pad states inode show cookie cookie
_ANSWER = struct.Struct("=BBBBIII")  # family type state pad inode cookie cookie
_ATTRIBUTE = struct.Struct("=HH")  # length type
_PAIR = struct.Struct("=II")
_NUMBER = struct.Struct("=I")
_LAST = struct.Struct("=HHIHHIIHHB3xHHI")
"""Peer, queues, shutdown and uid, each with its length and type: how nearly every answer ends. At once it is quicker."""

_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFF
_SHOW_ICONS = 0x08
_SHOW = 0x01 | 0x02 | 0x04 | _SHOW_ICONS | 0x10 | 0x40
"""UDIAG_SHOW_NAME, _VFS, _PEER, _ICONS, _RQLEN and _UID; shutdown bits come with every answer."""

_NAME, _VFS, _PEER, _ICONS, _RQLEN, _SHUTDOWN, _UID = 0, 1, 2, 3, 4, 6, 7

_LAST_KINDS = (_PEER, _RQLEN, _SHUTDOWN, _UID)

_BUFFER_BYTES = 1 << 18
"""More than the 32 KiB that the kernel puts into one answer to a dump."""

_Queues = tuple[int | None, int | None, tuple[int, ...], int | None, int | None]
"""`queued` to `charged` of a SocketEntry: of a listener the first three are known, of others the last two."""

_NAMES_REMEMBERED = 4096
"""Every connection that a listener accepted bears its name."""

_TYPES = {socket.SOCK_STREAM: "stream", socket.SOCK_DGRAM: "dgram", socket.SOCK_SEQPACKET: "seqpacket"}
_LISTEN = 10
_ESTABLISHED = 1
_LISTENING, _CONNECTED, _UNCONNECTED = TableState.LISTENING, TableState.CONNECTED, TableState.UNCONNECTED
_SHUTDOWNS = tuple(Shutdown)
_UNNAMED = Address.from_kernel(None)


@dataclass(frozen=True, slots=True)
class Table:
    """All sockets by their inode. `is_complete` is False if they come from /proc/net/unix: no peers, no queues."""

    sockets: dict[int, SocketEntry]
    is_complete: bool


def read_table() -> Table:
    """Every Unix socket of this network namespace; sockets that were never accepted have no inode and are not in it.

    Raises:
        OSError: neither source can be read (no /proc, and no sock_diag).
    """
    try:
        return Table({entry.inode: entry for entry in _ask(0, _DUMP)}, True)
    except OSError:
        return _read_proc_net_unix()


def _read_proc_net_unix() -> Table:
    with open("/proc/net/unix", "rb", buffering=0) as file:
        return Table({entry.inode: entry for entry in parse(_read_all(file.fileno()))}, False)


def entries_of(inodes: Iterable[int], *, may_read_all: bool = True) -> Table | None:
    """The sockets with those inodes, as far as they are there, each by a question of its own.

    Where sock_diag is refused, the whole of /proc/net/unix is read once; None if that is not wanted, for it takes
    its time where there are many sockets.

    Raises:
        OSError: as `read_table`.
    """
    wanted = list(inodes)
    try:
        found = [_entry_by_question(inode) for inode in wanted]
    except OSError:
        if not may_read_all:
            return None
        table = _read_proc_net_unix().sockets
        return Table({inode: table[inode] for inode in wanted if inode in table}, False)
    return Table({entry.inode: entry for entry in found if entry is not None}, True)


def entry_of(inode: int) -> SocketEntry | None:
    """The one socket with that inode; None if it is gone, or in another network namespace.

    Raises:
        OSError: as `read_table`.
    """
    try:
        return _entry_by_question(inode)
    except OSError:
        return read_table().sockets.get(inode)


def _entry_by_question(inode: int) -> SocketEntry | None:
    try:
        return next(_ask(inode, 0), None)
    except FileNotFoundError:
        return None
    except OSError as error:
        if (
            error.errno != errno.EMSGSIZE
        ):  # a page has no room for a thousand who wait: without their names, then
            raise
        return next(_ask(inode, 0, _SHOW & ~_SHOW_ICONS), None)


def _ask(inode: int, flags: int, show: int = _SHOW) -> Iterator[SocketEntry]:
    """The answers to one question: about `inode`, or with _DUMP about all.

    Raises:
        OSError: sock_diag is refused (seccomp), or not in this kernel; FileNotFoundError: there is no such inode.
    """
    if is_forced("sock_diag"):
        raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))
    question = _QUESTION.pack(socket.AF_UNIX, 0, 0, _ANY_STATE, inode, show, _NO_COOKIE, _NO_COOKIE)
    header = _HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _REQUEST | flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as sock:
        sock.sendto(header + question, (0, 0))
        is_last = False
        while not is_last:
            data = sock.recv(_BUFFER_BYTES)
            for kind, start, end in _messages(data):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    number = -struct.unpack_from("=i", data, start)[0]
                    raise OSError(number, os.strerror(number))
                yield _entry(data, start, end)
            is_last = not flags


def _messages(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Type, and where the content starts and ends, of each netlink message in `data`."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, at + _HEADER.size, min(at + length, len(data))
        at += length + 3 & ~3


def _entry(data: bytes, start: int, end: int) -> SocketEntry:
    """One answer. Attributes are taken as they come, because there may be 100,000 sockets."""
    _, number, state, _, inode, _, _ = _ANSWER.unpack_from(data, start)
    address = _UNNAMED
    peer = file = first = second = shutdown = uid = None
    waiting: tuple[int, ...] = ()
    at = start + _ANSWER.size
    while at < end:
        if end - at == _LAST.size:
            last = _LAST.unpack_from(data, at)
            if (last[1], last[4], last[8], last[11]) == _LAST_KINDS:
                peer, first, second, uid = last[2], last[5], last[6], last[12]
                shutdown = _SHUTDOWNS[last[9] & 3]
                break
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        content = at + _ATTRIBUTE.size
        if kind == _RQLEN:
            first, second = _PAIR.unpack_from(data, content)
        elif kind == _UID:
            (uid,) = _NUMBER.unpack_from(data, content)
        elif kind == _SHUTDOWN:
            shutdown = _SHUTDOWNS[data[content] & 3]
        elif kind == _PEER:
            (peer,) = _NUMBER.unpack_from(data, content)
        elif kind == _NAME:
            address = _address(data[content : at + length])
        elif kind == _VFS:
            file = _file(data[content : at + length])
        elif kind == _ICONS:
            waiting = struct.unpack_from(f"={(length - _ATTRIBUTE.size) // 4}I", data, content)
        at += (length or end) + 3 & ~3
    kind_of_socket = _TYPES.get(number) or str(number)
    is_listening = state == _LISTEN
    state_of = _LISTENING if is_listening else _CONNECTED if state == _ESTABLISHED else _UNCONNECTED
    queues: _Queues = (None, None, waiting, first, second)
    if is_listening:
        queues = (first, second, waiting, None, None)
    return SocketEntry(inode, kind_of_socket, state_of, address, peer, file, *queues, shutdown, uid)


@functools.lru_cache(_NAMES_REMEMBERED)
def _address(raw: bytes) -> Address:
    """A pathname comes with the NUL that ends it."""
    return Address.from_kernel(raw if raw.startswith(b"\0") else raw.partition(b"\0")[0])


@functools.lru_cache(_NAMES_REMEMBERED)
def _file(raw: bytes) -> FileIdentity:
    """The kernel's own dev_t: 12 bits of major, 20 of minor number."""
    inode, device = _PAIR.unpack(raw)
    return FileIdentity(os.makedev(device >> 20, device & 0xFFFFF), inode)


def _read_all(fd: int) -> bytes:
    pieces = []
    while piece := os.read(fd, _BUFFER_BYTES):
        pieces.append(piece)
    return b"".join(pieces)
