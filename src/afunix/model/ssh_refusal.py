"""Why an end over ssh cannot be had: what ssh said, and what was seen on the far side, become the error to read. Pure.

    logging in    no key accepted, a key that cannot be read     DeniedError
                  an unknown or a changed host key               PeerMismatchError
                  anything else that ssh says                    AfunixError
    a socket      nothing there                                  NoSuchSocketError
                  no socket there                                NotASocketError
                  nobody listens                                 NobodyListensError
                  no permission, or sshd forbids it              DeniedError
    listening     something is there already                     AddressInUseError, with what removes it
                  no directory, no permission, forbidden         NoSuchSocketError, DeniedError

sshd does not say why it refuses a socket; `Seen` is what a look at the path, by the same login, has found.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Sequence
from enum import Enum

from .address import Address
from .errors import (
    AddressInUseError,
    AfunixError,
    DeniedError,
    NobodyListensError,
    NoSuchSocketError,
    NotASocketError,
    PeerMismatchError,
    TimedOutError,
)
from .escaping import quote
from .ssh_address import SshTarget
from .tcp_refusal import WORTH_WAITING_FOR as TCP_WORTH_WAITING_FOR

WORTH_WAITING_FOR = TCP_WORTH_WAITING_FOR | {errno.ECONNABORTED}
"""What can pass while a host, its sshd, or a server on it starts."""


class Seen(Enum):
    """What is at a path on the far side."""

    LIVE = "live"
    STALE = "stale"
    SOCKET = "socket"
    NO_ACCESS = "no-access"
    OTHER = "other"
    NOTHING = "nothing"
    NO_DIRECTORY = "no-directory"
    UNWRITABLE = "unwritable"
    UNKNOWN = "unknown"


_FORBIDS = "AllowStreamLocalForwarding in its sshd_config, or 'restrict' in its authorized_keys, decides that"


def missing_package() -> AfunixError:
    return AfunixError(
        "ends over ssh need the Python package asyncssh, which is not installed",
        hint="pip install 'afunix[ssh]'",
    )


# Logging in


def unknown_host_key(address: Address, target: SshTarget, known_as: str, fingerprint: str) -> AfunixError:
    """`known_as`: what known_hosts calls the host."""
    return PeerMismatchError(
        f"the host key of {quote(known_as)} is not known ({fingerprint}): {quote(str(address))} is not used",
        hint=f"'{target.command()}' asks whether to accept it; compare the fingerprint first",
    )


def changed_host_key(address: Address, target: SshTarget, known_as: str, fingerprint: str) -> AfunixError:
    """`fingerprint` may be empty: it has only keys of other kinds than the one that is known."""
    found = f" ({fingerprint})" if fingerprint else ""
    return PeerMismatchError(
        f"THE HOST KEY OF {quote(known_as)} HAS CHANGED{found}: it is another host, or somebody stands in"
        f" between; {quote(str(address))} is not used",
        hint="ask who runs it; if the change was meant: "
        f"ssh-keygen -R {shlex.quote(known_as)}, then {target.command()}",
    )


def revoked_host_key(address: Address, known_as: str) -> AfunixError:
    return PeerMismatchError(
        f"THE HOST KEY OF {quote(known_as)} IS REVOKED in known_hosts: {quote(str(address))} is not used",
        hint="ask who runs it",
    )


def no_key_accepted(
    address: Address, target: SshTarget, user: str, unreadable: Sequence[tuple[str, str]]
) -> AfunixError:
    """`unreadable`: key files that could not be used, each with why."""
    because = "".join(f"; {quote(path)} {why}" for path, why in unreadable)
    return DeniedError(
        f"{quote(str(address))}: {quote(target.host)} accepts no key of ours for the user {quote(user)}{because}"
        " (EACCES)",
        hint=f"'{target.command()}' has to get in without a question: ssh-copy-id installs a key, ssh-add unlocks one",
    )


def login_failed(address: Address, target: SshTarget, reason: str) -> AfunixError:
    return AfunixError(
        f"{quote(str(address))}: no login: {reason}",
        hint=f"'{target.command('true')}' shows whether ssh itself gets in",
        errno=errno.ECONNABORTED,
    )


def broke(address: Address, target: SshTarget, reason: str) -> AfunixError:
    """The login was there, and broke before what was asked for."""
    because = f": {reason}" if reason else ""
    return AfunixError(
        f"{quote(str(address))}: the ssh connection broke{because} (ECONNABORTED)",
        hint=f"the log of sshd on {quote(target.host)} may tell why",
        errno=errno.ECONNABORTED,
    )


def no_answer(address: Address) -> AfunixError:
    """What stood in the way of a connection whose time was over before anything was known."""
    return TimedOutError(
        f"{quote(str(address))} does not answer", hint="its host is down, or its sshd is busy"
    )


def bad_configuration(address: Address, reason: str) -> AfunixError:
    return AfunixError(
        f"{quote(str(address))}: ssh's configuration cannot be used: {reason}",
        hint="it is read from ~/.ssh/config and /etc/ssh/ssh_config",
    )


# A socket there


def no_connection(address: Address, target: SshTarget, seen: Seen, said: str) -> AfunixError:
    """The login is there, and sshd has not connected to the path; it `said` little."""
    shown, host = quote(str(address)), quote(target.host)
    if seen is Seen.NOTHING or seen is Seen.NO_DIRECTORY:
        what = "there is no such directory" if seen is Seen.NO_DIRECTORY else "nothing is at that path"
        return NoSuchSocketError(
            f"{shown} does not exist: {what} on {host} (ENOENT)", hint="start its server"
        )
    if seen is Seen.OTHER:
        return NotASocketError(
            f"{shown} is no socket (ECONNREFUSED)", hint="check the path", errno=errno.ECONNREFUSED
        )
    if seen is Seen.NO_ACCESS:
        return DeniedError(
            f"{shown}: the user of the login may not write to that socket (EACCES)",
            hint=f"log in as another user, or see: {target.command('ls', '-l', os.fsdecode(target.path))}",
        )
    if seen is Seen.STALE:
        return NobodyListensError(
            f"{shown} exists but nobody is seen to listen (stale socket file, ECONNREFUSED)",
            hint="start its server there",
        )
    if "prohibited" in said or seen is Seen.LIVE:
        return DeniedError(
            f"{shown}: sshd on {host} forbids connections to its sockets ({said})", hint=_FORBIDS
        )
    return NobodyListensError(
        f"{shown}: sshd on {host} makes no connection to it ({said})",
        hint=f"nobody listens there, or sshd forbids it: {_FORBIDS}",
    )


# Listening there


def no_forward(address: Address, target: SshTarget, seen: Seen) -> AfunixError:
    """sshd does not listen on the path for us."""
    shown, host = quote(str(address)), quote(target.host)
    if seen is Seen.LIVE:
        return AddressInUseError(
            f"{shown} is in use: somebody listens on it on {host} (EADDRINUSE)",
            hint="stop that one, or choose another path",
        )
    if seen in (Seen.STALE, Seen.SOCKET, Seen.NO_ACCESS):
        return AddressInUseError(
            f"{shown} is taken by a socket file on {host}, as sshd leaves one behind (EADDRINUSE)",
            hint=f"if nothing uses it: {removal(target)}"
            " ('StreamLocalBindUnlink yes' in its sshd_config replaces such files)",
        )
    if seen is Seen.OTHER:
        return NotASocketError(
            f"{shown} is there already, and is no socket (EADDRINUSE)",
            hint="choose another path",
            errno=errno.EADDRINUSE,
        )
    if seen is Seen.NO_DIRECTORY:
        return NoSuchSocketError(
            f"{shown} cannot be listened on: there is no such directory on {host} (ENOENT)",
            hint="check the path",
        )
    if seen is Seen.UNWRITABLE:
        return DeniedError(
            f"{shown} cannot be listened on: the user of the login may not write to that directory (EACCES)",
            hint="choose another path, or log in as another user",
        )
    return DeniedError(f"{shown}: sshd on {host} forbids listening on its sockets", hint=_FORBIDS)


def left_there(address: Address, target: SshTarget) -> AfunixError:
    return AfunixError(
        f"{quote(str(address))} could not be removed from {quote(target.host)}: sshd leaves the socket file behind",
        hint=removal(target),
    )


def removal(target: SshTarget) -> str:
    """The command that removes the path there."""
    return target.command("rm", os.fsdecode(target.path))
