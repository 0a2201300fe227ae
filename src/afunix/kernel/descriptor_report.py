"""What a descriptor is and may be used for, for a person who was given it: a value of words. Nothing about it changes."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from dataclasses import dataclass
from socket import AF_UNIX, SO_ACCEPTCONN, SO_DOMAIN, SOL_SOCKET

from ..model.address import Address, AddressKind
from ..model.escaping import quote
from .descriptor_words import describe
from .socket_types import family_word, type_of, type_word
from .wrapping import borrowed

_O_PATH = getattr(os, "O_PATH", 0o10000000)

_ACCESS = {os.O_RDONLY: "read", os.O_WRONLY: "write", os.O_RDWR: "read-write"}

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "pipe",
    stat.S_IFBLK: "block device",
    stat.S_IFLNK: "symbolic link",
}


@dataclass(frozen=True, slots=True)
class DescriptorReport:
    """`kind` is one of a few words, `access` read, write, read-write, append, read-append or none; `what` is the path,
    or what else tells it from others, unescaped: "" if nothing does.
    """

    kind: str
    access: str
    what: str

    @classmethod
    def of(cls, fd: int) -> DescriptorReport:
        """Raises OSError: it is not open."""
        mode = os.fstat(fd).st_mode
        access = _access(fd)
        if stat.S_ISSOCK(mode):
            return cls("socket", access, _socket_words(fd))
        what = describe(fd)
        if stat.S_ISCHR(mode):
            return cls("terminal" if os.isatty(fd) else "device", access, what)
        kind = _KINDS.get(stat.S_IFMT(mode), what)
        return cls(kind, access, "" if what == kind else what)


def _access(fd: int) -> str:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & _O_PATH:
        return "none"
    access = _ACCESS.get(flags & os.O_ACCMODE, "none")
    return access.replace("write", "append") if flags & os.O_APPEND else access


def _socket_words(fd: int) -> str:
    """`stream, listening on './app.sock'`."""
    with borrowed(fd) as sock:
        try:
            family = sock.getsockopt(SOL_SOCKET, SO_DOMAIN)
            kind = type_word(type_of(sock))
            if family != AF_UNIX:
                return f"{kind}, {family_word(family)}{', listening' if _listens(sock) else ''}"
            local = Address.from_kernel(sock.getsockname())
        except OSError:
            return ""
        if _listens(sock):
            return f"{kind}, listening on {quote(str(local))}"
        place = "" if local.kind is AddressKind.UNNAMED else f", bound to {quote(str(local))}"
        return f"{kind}{place}{_peer_words(sock)}"


def _listens(sock: socket.SocketType) -> bool:
    return bool(sock.getsockopt(SOL_SOCKET, SO_ACCEPTCONN))


def _peer_words(sock: socket.SocketType) -> str:
    try:
        peer = Address.from_kernel(sock.getpeername())
    except OSError:
        return ""
    return ", connected" if peer.kind is AddressKind.UNNAMED else f", connected to {quote(str(peer))}"
