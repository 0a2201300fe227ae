"""What a command is told of its client, as environment variables: ours, and those that handlers of others look for.

    AFUNIX_CONNECTION      the connection's number, from 1
    AFUNIX_LOCAL_ADDRESS   what the listener is bound to
    AFUNIX_PEER_ADDRESS    what the client is bound to; empty if to nothing, as most
    AFUNIX_PEER_PID _UID _GID _USER    who it is; empty where the kernel does not say, or there is no such name

Names that somebody else has chosen are escaped (`escaping`): no newline, no control character, no byte that is not UTF-8
gets into a shell's hands. Nothing of what systemd told *us* is passed on. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from .credentials import PeerCredentials
from .escaping import escape

_NOT_FOR_OTHERS = (
    b"LISTEN_",
    b"NOTIFY_SOCKET",
    b"WATCHDOG_",
    b"FDSTORE",
    b"AFUNIX_",
    b"IPC",
    b"UNIX",
    b"PROTO=",
)


class Dialect(Enum):
    """Whose names are added to ours: s6-ipcserver's, or ucspi-unix's `unixserver`."""

    S6 = "s6"
    UCSPI = "ucspi"


class Caller(NamedTuple):
    """One client, as far as it is known. `peer_address` is "" for a client without a name; `of_same_user` are
    the connections of that user, this one included.
    """

    connection: int
    local_address: str
    peer_address: str
    peer: PeerCredentials
    user: str
    of_same_user: int = 1


class Host(NamedTuple):
    """Who serves: the process itself."""

    pid: int
    uid: int
    gid: int


def without_ours(environment: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """What of our own environment a command may see."""
    return {
        name: value
        for name, value in environment.items()
        if not any((name + b"=").startswith(prefix) for prefix in _NOT_FOR_OTHERS)
    }


def describe(caller: Caller, host: Host, dialect: Dialect | None = None) -> dict[bytes, bytes]:
    """The variables for one client."""
    peer = caller.peer
    values = {
        "AFUNIX_CONNECTION": str(caller.connection),
        "AFUNIX_LOCAL_ADDRESS": caller.local_address,
        "AFUNIX_PEER_ADDRESS": caller.peer_address,
        "AFUNIX_PEER_PID": "" if peer.pid is None else str(peer.pid),
        "AFUNIX_PEER_UID": str(peer.uid) if peer.is_known else "",
        "AFUNIX_PEER_GID": str(peer.gid) if peer.is_known else "",
        "AFUNIX_PEER_USER": caller.user,
    }
    if dialect is not None:
        values.update(_DIALECTS[dialect](values, caller, host))
    return {name.encode(): escape(value).encode() for name, value in values.items()}


def _as_s6(values: Mapping[str, str], caller: Caller, host: Host) -> dict[str, str]:
    """s6-ipcserverd(8)."""
    return {
        "PROTO": "IPC",
        "IPCREMOTEEUID": values["AFUNIX_PEER_UID"],
        "IPCREMOTEEGID": values["AFUNIX_PEER_GID"],
        "IPCREMOTEPATH": values["AFUNIX_PEER_ADDRESS"],
        "IPCCONNNUM": str(caller.of_same_user),
    }


def _as_ucspi(values: Mapping[str, str], caller: Caller, host: Host) -> dict[str, str]:
    """unixserver(1)."""
    return {
        "PROTO": "UNIX",
        "UNIXLOCALPATH": values["AFUNIX_LOCAL_ADDRESS"],
        "UNIXLOCALPID": str(host.pid),
        "UNIXLOCALUID": str(host.uid),
        "UNIXLOCALGID": str(host.gid),
        "UNIXREMOTEPID": values["AFUNIX_PEER_PID"],
        "UNIXREMOTEEUID": values["AFUNIX_PEER_UID"],
        "UNIXREMOTEEGID": values["AFUNIX_PEER_GID"],
    }


_DIALECTS = {Dialect.S6: _as_s6, Dialect.UCSPI: _as_ucspi}
