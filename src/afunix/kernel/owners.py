"""Which processes hold a socket of a given name: for the words of a refusal, and for nothing else.

/proc/net/unix tells the names of this network namespace and the inode of each socket, /proc/PID/fd who has
that inode open. Both are hints. A name is the one given to bind(2): of a path that was renamed it is the old
one, of a relative path it is relative to a directory that nobody remembers; so a candidate counts only if the
name, looked up where its process stands, leads to the very file. A name with a newline in it can forge a row.
And an ordinary user sees the descriptors of his own processes only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator

from ..model.ownership import Holder
from .names import comm_of

__all__ = ["Holder", "holders_of_abstract", "holders_of_path"]

_ROW = re.compile(rb"[0-9a-f]+: [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ ([0-9A-F]{4}) ([0-9A-F]{2}) +([0-9]+) (.+)")
"""Num RefCount Protocol Flags Type St Inode Path, see proc_net(5)."""

_DATAGRAM = b"0002"
_CONNECTED = b"03"
_THROUGH_DESCRIPTOR = b"/proc/self/fd/"
_SOCKET_LINK = re.compile(r"socket:\[([0-9]+)\]")


def holders_of_path(path: str | bytes) -> list[Holder]:
    """Processes with a socket open whose file is the one at `path`, by pid; empty if none can be seen."""
    try:
        file = os.lstat(path)
    except OSError:
        return []
    base = os.path.basename(os.fsencode(path))
    names = {inode: name for inode, name in _bound_sockets() if os.path.basename(name) == base}
    return [
        _holder(pid)
        for pid, inodes in _processes_with(names)
        if any(_leads_to(pid, names[inode], file) for inode in inodes)
    ]


def holders_of_abstract(name: bytes) -> list[Holder]:
    """Processes with a socket open that is bound to the abstract `name` (no leading NUL), by pid."""
    shown = b"@" + name.replace(b"\0", b"@")
    inodes = {inode for inode, found in _bound_sockets() if found == shown}
    return [_holder(pid) for pid, _ in _processes_with(inodes)]


def _bound_sockets() -> Iterator[tuple[int, bytes]]:
    """Inode and name of each socket that was bound itself; what a listener accepted bears its name too."""
    try:
        with open("/proc/net/unix", "rb") as table:
            rows = table.read().split(b"\n")
    except OSError:
        return
    for row in rows:
        found = _ROW.fullmatch(row)
        if found is not None and (found[1] == _DATAGRAM or found[2] != _CONNECTED):
            yield int(found[3]), found[4]


def _processes_with(inodes: Collection[int]) -> Iterator[tuple[int, set[int]]]:
    """Each visible process that has one of these sockets open, by pid, with those it has."""
    if not inodes:
        return
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        found = _socket_inodes(pid).intersection(inodes)
        if found:
            yield pid, found


def _socket_inodes(pid: int) -> set[int]:
    """The sockets that a process has open; none if it is gone or not ours to see."""
    directory = f"/proc/{pid}/fd"
    try:
        links = [_read_link(f"{directory}/{fd}") for fd in os.listdir(directory)]
    except OSError:
        return set()
    return {int(found[1]) for found in map(_SOCKET_LINK.fullmatch, links) if found is not None}


def _read_link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""  # closed since it was listed


def _leads_to(pid: int, name: bytes, file: os.stat_result) -> bool:
    """Does `name`, looked up where the process stands, lead to `file`?"""
    process = b"/proc/%d" % pid
    if name.startswith(_THROUGH_DESCRIPTOR):
        there = process + name.removeprefix(b"/proc/self")
    elif name.startswith(b"/"):
        there = process + b"/root" + name
    else:
        there = process + b"/cwd/" + name
    try:
        return os.path.samestat(os.lstat(there), file)
    except OSError:
        return False


def _holder(pid: int) -> Holder:
    return Holder(pid, comm_of(pid), _effective_uid(pid))


def _effective_uid(pid: int) -> int | None:
    """From /proc/PID/status: /proc/PID itself is root's for a process that changed its uid (proc(5))."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            found = re.search(rb"^Uid:\t[0-9]+\t([0-9]+)", file.read(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found is not None else None
