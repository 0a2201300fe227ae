"""Who is at the other end, asked of the kernel, and whether he may hand us descriptors. See unix(7).

What comes out are facts of the moment of `connect` (of a server: of its `listen`); what they allow is decided
in `model.rules`. Descriptors are borrowed: nothing here closes one or changes a flag of it.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from socket import AF_UNIX, SCM_CREDENTIALS, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET, SocketType

from ..model.credentials import PeerCredentials
from . import fallbacks

SO_PASSCRED = socket.SO_PASSCRED

# asm-generic/socket.h; the `socket` module has no names for these.
SO_PEERGROUPS = 59
"""The peer's supplementary groups, Linux 4.13."""
SO_PEERPIDFD = 77
"""A descriptor for the peer's process, close-on-exec, Linux 6.5."""
SO_PASSRIGHTS = 83
"""May descriptors be sent to this socket? On by default, Linux 6.16."""

_UCRED = struct.Struct("=iII")
_GID = struct.Struct("=I")
_MAX_GETSOCKOPT = 1024
"""What `socket.getsockopt` lends: 256 groups. A process may have 65,536."""


def peer_credentials(sock: SocketType | int) -> PeerCredentials:
    """pid, uid and gid of the peer of a connected stream or seqpacket socket.

    pid is None if the kernel has no number for it here (another pid namespace). A socket without a peer, and
    every datagram socket, gives credentials that are not `is_known`.
    """
    if isinstance(sock, int):
        with _borrowed(sock) as borrowed:
            return peer_credentials(borrowed)
    return _unpack(sock.getsockopt(SOL_SOCKET, SO_PEERCRED, _UCRED.size))


def peer_groups(sock: SocketType | int) -> tuple[int, ...]:
    """The peer's supplementary gids, all of them; none for a socket that knows no peer (datagrams)."""
    if isinstance(sock, int):
        with _borrowed(sock) as borrowed:
            return peer_groups(borrowed)
    try:
        raw = sock.getsockopt(SOL_SOCKET, SO_PEERGROUPS, _MAX_GETSOCKOPT)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return ()
        if error.errno != errno.ERANGE:
            raise
        raw = _getsockopt_of_any_length(sock.fileno(), SO_PEERGROUPS)
    return tuple(gid for (gid,) in _GID.iter_unpack(raw))


def refuse_descriptors(sock: SocketType | int) -> bool:
    """Let nobody send descriptors to `sock` (EPERM) or to what it accepts: SO_PASSRIGHTS is inherited.

    False where the kernel cannot (before Linux 6.16): then whoever receives must close what arrives.
    """
    if isinstance(sock, int):
        with _borrowed(sock) as borrowed:
            return refuse_descriptors(borrowed)
    if fallbacks.is_forced("passrights"):
        return False
    try:
        sock.setsockopt(SOL_SOCKET, SO_PASSRIGHTS, 0)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        return False
    return True


def credentials_from(ancillary: Iterable[tuple[int, int, bytes]]) -> PeerCredentials | None:
    """Who sent a datagram, from the ancillary data of `recvmsg`; None if it carries no whole SCM_CREDENTIALS.

    The receiver must have set SO_PASSCRED before the datagram was sent: one from before says (None, 65534,
    65534). Root may claim any pid and uid; nobody else can (unix(7)).
    """
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_CREDENTIALS and len(data) >= _UCRED.size:
            return _unpack(data[: _UCRED.size])
    return None


def _unpack(ucred: bytes) -> PeerCredentials:
    pid, uid, gid = _UCRED.unpack(ucred)
    return PeerCredentials(pid if pid > 0 else None, uid, gid)


@contextmanager
def _borrowed(fd: int) -> Iterator[SocketType]:
    """`fd` as a socket object that does not own it; family and type given, so that Python does not ask."""
    sock = SocketType(AF_UNIX, SOCK_STREAM, 0, fd)
    try:
        yield sock
    finally:
        sock.detach()


def _getsockopt_of_any_length(fd: int, option: int) -> bytes:
    """getsockopt(2) with a buffer as long as the kernel asks for: with ERANGE it says how long that is."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    length = ctypes.c_uint32(_MAX_GETSOCKOPT)
    while True:
        buffer = ctypes.create_string_buffer(length.value)
        if libc.getsockopt(fd, SOL_SOCKET, option, buffer, ctypes.byref(length)) == 0:
            return buffer.raw[: length.value]
        number = ctypes.get_errno()
        if number != errno.ERANGE or length.value <= len(buffer):
            raise OSError(number, f"getsockopt {option}")
