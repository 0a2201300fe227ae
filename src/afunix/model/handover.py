"""Descriptors that came in one message: are they what was asked for, and what a command is told of them. Pure.

    AFUNIX_FDS=2            how many; they are 3 and 4
    AFUNIX_FDNAMES=a:b      their names (`descriptor_names`)
    AFUNIX_FD_DATA=…        what came along with them, escaped; not there if that is longer than 64 KiB
    AFUNIX_PEER_…           who sent them (`client_environment`)
    LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES    the same for a service that can be activated (sd_listen_fds(3))

What a service manager told us about ourselves is passed on, since the command goes on as this process; sockets that it
handed to us are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import client_environment
from .client_environment import Caller, Host
from .counting import counted
from .descriptor_names import join_names
from .errors import AfunixError, BrokenStreamError, TruncatedError
from .escaping import escape, quote

_OF_THE_PROCESS = (b"NOTIFY_SOCKET", b"WATCHDOG_PID", b"WATCHDOG_USEC", b"FDSTORE")
"""What a service manager says to a pid, which is the command's now."""

_SHOWN_BYTES = 60

_LONGEST_DATA = 1 << 16
"""execve(2) takes no variable of more than 128 KiB."""


def environment(
    own: Mapping[bytes, bytes], caller: Caller, host: Host, names: Sequence[str], data: bytes
) -> dict[bytes, bytes]:
    """The whole environment of a command that gets the descriptors `names`, as the process `host`."""
    count = str(len(names))
    joined = join_names(names)
    told = {
        "AFUNIX_FDS": count,
        "AFUNIX_FDNAMES": joined,
        "LISTEN_FDS": count,
        "LISTEN_FDNAMES": joined,
        "LISTEN_PID": str(host.pid),
    }
    shown = escape(data)
    if len(shown) <= _LONGEST_DATA:
        told["AFUNIX_FD_DATA"] = shown
    return {
        **client_environment.without_ours(own),
        **{name: own[name] for name in _OF_THE_PROCESS if name in own},
        **client_environment.describe(caller, host),
        **{name.encode(): value.encode() for name, value in told.items()},
    }


def misfit(sender: str, data: bytes | None, count: int, most: int) -> AfunixError | None:
    """What is wrong with a message of `count` descriptors with `data` beside them; None: nothing.

    `data` is None if the sender ended without one. `sender` is its name in the sentence.
    """
    if data is None:
        return BrokenStreamError(
            f"{sender} closed the connection without sending a descriptor",
            hint="did it fail? 'afunix fd send' tells why on its STDERR",
        )
    if not count:
        return AfunixError(
            f"{sender} sent {_shown(data)}, and no descriptor with it",
            hint="'afunix fd send' attaches some; other programs do it by sendmsg(2) with SCM_RIGHTS",
        )
    if count > most:
        return TruncatedError(
            f"{sender} sent {counted(count, 'descriptor')}, more than the {most} that are taken (--max): all are closed",
            hint=f"'--max {count}' takes them",
        )
    return None


def _shown(data: bytes) -> str:
    """`5 bytes, 'hello'`."""
    if not data:
        return "an empty message"
    more = "…" if len(data) > _SHOWN_BYTES else ""
    return f"{counted(len(data), 'byte')}, {quote(data[:_SHOWN_BYTES])}{more}"
