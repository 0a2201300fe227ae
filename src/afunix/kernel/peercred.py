"""Who is at the other end, asked of the kernel, and whether he may hand us descriptors. See unix(7).

What comes out are facts of the moment of `connect` (of a server: of its `listen`); what they allow is decided
in `model.rules`. Descriptors are borrowed: nothing here closes one or changes a flag of it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from socket import SCM_CREDENTIALS, SO_PEERCRED, SOL_SOCKET, SocketType

from ..model.credentials import UNKNOWN_ID, PeerCredentials
from . import fallbacks
from .wrapping import borrowed

SO_PASSCRED = socket.SO_PASSCRED

# asm-generic/socket.h; the `socket` module has no names for these.
SO_PEERSEC = 31
"""The peer's security label, where SELinux, AppArmor or Smack gives one."""
SO_PEERGROUPS = 59
"""The peer's supplementary groups, Linux 4.13."""
SO_PASSSEC = 34
"""Bring the sender's security label with what is received."""
SO_PASSPIDFD = 76
"""Bring a descriptor for the sender's process with what is received, Linux 6.5."""
SO_PEERPIDFD = 77
"""A descriptor for the peer's process, close-on-exec, Linux 6.5."""
SO_PASSRIGHTS = 83
"""May descriptors be sent to this socket? On by default, Linux 6.16."""

_UCRED = struct.Struct("=iII")
_NOT_NOTED = _UCRED.pack(0, 65534, 65534)
_UNKNOWN = PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID)
_UCRED_BYTES = _UCRED.size
_GID = struct.Struct("=I")
_MAX_GETSOCKOPT = 1024
"""What `socket.getsockopt` lends: 256 groups. A process may have 65,536."""


def peer_credentials(sock: SocketType | int) -> PeerCredentials:
    """pid, uid and gid of the peer of a connected stream or seqpacket socket.

    pid is None if the kernel has no number for it here (another pid namespace). A socket without a peer, and
    every datagram socket, gives credentials that are not `is_known`.
    """
    if isinstance(sock, int):
        with borrowed(sock) as one:
            return peer_credentials(one)
    return unpack_credentials(read_credentials(sock))


def read_credentials(sock: SocketType) -> bytes:
    """The same as the kernel has them, for `unpack_credentials` to read if anybody asks."""
    return sock.getsockopt(SOL_SOCKET, SO_PEERCRED, _UCRED_BYTES)


def peer_groups(sock: SocketType | int) -> tuple[int, ...]:
    """The peer's supplementary gids, all of them; none for a socket that knows no peer (datagrams)."""
    if isinstance(sock, int):
        with borrowed(sock) as one:
            return peer_groups(one)
    try:
        raw = _whole_option(sock, SO_PEERGROUPS)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return ()
    return tuple(gid for (gid,) in _GID.iter_unpack(raw))


def peer_label(sock: SocketType) -> str | None:
    """The peer's security label (SO_PEERSEC), None where no security module gives one to sockets."""
    try:
        raw = _whole_option(sock, SO_PEERSEC)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        return None
    return os.fsdecode(raw.rstrip(b"\0")) or None


def open_peer_pidfd(sock: SocketType) -> int:
    """A descriptor for the peer's process, close-on-exec; the caller owns it.

    Before Linux 6.5 it is opened by the peer's pid, which may be somebody else's by now.

    Raises:
        ProcessLookupError: the process was reaped already, or has no number here.
    """
    if not fallbacks.is_forced("peerpidfd"):
        try:
            return sock.getsockopt(SOL_SOCKET, SO_PEERPIDFD)
        except OSError as error:
            if error.errno in (errno.ESRCH, errno.ENODATA, errno.EINVAL):
                raise ProcessLookupError(errno.ESRCH, "the peer's process is gone") from None
            if error.errno != errno.ENOPROTOOPT:
                raise
    pid = peer_credentials(sock).pid
    if pid is None:
        raise ProcessLookupError(errno.ESRCH, "the peer's process has no number here")
    return os.pidfd_open(pid)


def refuse_descriptors(sock: SocketType | int) -> bool:
    """Let nobody send descriptors to `sock` (EPERM) or to what it accepts: SO_PASSRIGHTS is inherited.

    False where the kernel cannot (before Linux 6.16): then whoever receives must close what arrives.
    """
    if isinstance(sock, int):
        with borrowed(sock) as one:
            return refuse_descriptors(one)
    if fallbacks.is_forced("passrights"):
        return False
    try:
        sock.setsockopt(SOL_SOCKET, SO_PASSRIGHTS, 0)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        return False
    return True


def can_refuse_descriptors() -> bool:
    """Can this kernel keep descriptors away from a socket?"""
    with socket.socket(socket.AF_UNIX) as sock:
        return refuse_descriptors(sock)


def let_descriptors_in(sock: SocketType) -> None:
    """Undo `refuse_descriptors`; before Linux 6.16 nothing refuses them."""
    try:
        sock.setsockopt(SOL_SOCKET, SO_PASSRIGHTS, 1)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise


def ask_for_nothing_beside(sock: SocketType) -> None:
    """Have the kernel add nothing about the sender to what `sock` receives: what a listener asks for, those sockets
    that it accepts ask for, too.
    """
    for option in (SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD):
        try:
            sock.setsockopt(SOL_SOCKET, option, 0)
        except OSError as error:
            if error.errno not in (errno.ENOPROTOOPT, errno.EOPNOTSUPP):
                raise


def credentials_from(ancillary: Iterable[tuple[int, int, bytes]]) -> PeerCredentials | None:
    """Who sent a datagram, from the ancillary data of `recvmsg`; None if it carries no whole SCM_CREDENTIALS.

    The receiver must have set SO_PASSCRED before the datagram was sent: of one from before the kernel says pid 0 and the
    overflow ids, which is how it comes out as unknown here, and not as the user nobody. Root may claim any pid and uid;
    nobody else can (unix(7)).
    """
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_CREDENTIALS and len(data) >= _UCRED.size:
            return _UNKNOWN if data[: _UCRED.size] == _NOT_NOTED else unpack_credentials(data[: _UCRED.size])
    return None


def unpack_credentials(ucred: bytes) -> PeerCredentials:
    """A struct ucred as a value."""
    pid, uid, gid = _UCRED.unpack(ucred)
    return PeerCredentials(pid if pid > 0 else None, uid, gid)


def _whole_option(sock: SocketType, option: int) -> bytes:
    try:
        return sock.getsockopt(SOL_SOCKET, option, _MAX_GETSOCKOPT)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
    return _getsockopt_of_any_length(sock.fileno(), option)


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
