"""Names of users, groups and processes: the system's databases and /proc, asked late and remembered.

This module is a `model.rules.Names`. A look-up may go over the network (NSS), so none belongs where a client
waits; pwd and grp are imported with the first question, because most runs of `afunix connect` never ask one.

The answers are for rules (name to number, once, at start) and for display (number to name). A comm is chosen
by its process and a pid may be somebody else's by now: no decision looks at either.
"""

from __future__ import annotations

import functools
import os

_REMEMBERED = 1024
"""More users than are at work at once; a bound, because a client in a user namespace has many uids."""


def uid_of(name: str) -> int:
    """The uid of the user `name`.

    Raises:
        KeyError: nobody has that name.
    """
    return _uid_of(name)


def gid_of(name: str) -> int:
    """The gid of the group `name`.

    Raises:
        KeyError: no group has that name.
    """
    return _gid_of(name)


def own_uid() -> int:
    """The effective uid of this process: the one that its peers see."""
    return os.geteuid()


def user_name(uid: int) -> str | None:
    """The name of `uid`, None if it has none here or the database does not answer."""
    return _user_name(uid)


def group_name(gid: int) -> str | None:
    """The name of `gid`, None if it has none here or the database does not answer."""
    return _group_name(gid)


def comm_of(pid: int) -> str | None:
    """What the process calls itself (proc_pid_comm(5)), None if it is gone.

    At most 15 bytes (of a kernel thread 63); those that are not UTF-8 are surrogates. Escape it before it is
    shown.
    """
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
            comm = file.read()
    except OSError:
        return None
    return os.fsdecode(comm.removesuffix(b"\n"))


def forget() -> None:
    """Ask the databases again from now on: they may have changed since."""
    for look_up in (_uid_of, _gid_of, _user_name, _group_name):
        look_up.cache_clear()


@functools.lru_cache(_REMEMBERED)
def _uid_of(name: str) -> int:
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid
    except ValueError:  # a NUL byte or half a character: no name that anybody has
        raise KeyError(name) from None


@functools.lru_cache(_REMEMBERED)
def _gid_of(name: str) -> int:
    import grp

    try:
        return grp.getgrnam(name).gr_gid
    except ValueError:
        raise KeyError(name) from None


@functools.lru_cache(_REMEMBERED)
def _user_name(uid: int) -> str | None:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError, OSError):
        return None


@functools.lru_cache(_REMEMBERED)
def _group_name(gid: int) -> str | None:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError, OSError):
        return None
