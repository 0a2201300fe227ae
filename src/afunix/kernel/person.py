"""Who wants to connect: our own process as the kernel sees it, or a user of the system's database. Facts only.

For us the effective ids, the groups of this process and its capabilities count, not what the database says; for
somebody else the database is all there is, and root is taken to have root's capabilities. Nobody is impersonated.
"""

from __future__ import annotations

import os
import re

from ..model.errors import AddressError
from ..model.escaping import quote
from ..model.permission import Person
from .names import user_name

_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2
"""Bits of CapEff, see capabilities(7) and linux/capability.h."""

_EFFECTIVE = re.compile(rb"^CapEff:\t([0-9a-f]+)", re.MULTILINE)

_NO_GROUP = -1
_LARGEST_UID = 0xFFFFFFFE


def own_person() -> Person:
    """This process."""
    uid, capabilities = os.geteuid(), _capabilities()
    return Person(
        uid,
        os.getegid(),
        groups=frozenset(os.getgroups()),
        listed_groups=_listed(uid),
        may_override=bool(capabilities & _DAC_OVERRIDE),
        may_search=bool(capabilities & _DAC_READ_SEARCH),
        name=user_name(uid),
    )


def person_called(user: str) -> Person:
    """The user with that name or number, as after a login. A number that nobody has is one without groups.

    Raises:
        AddressError: nobody has that name, or it is no number that a user can have.
    """
    import pwd

    is_number = user.isascii() and user.isdigit()
    try:
        entry = pwd.getpwuid(_number(user)) if is_number else pwd.getpwnam(user)
    except (KeyError, ValueError):
        if not is_number:
            raise AddressError(
                f"there is no user {quote(user)}", hint="give a user's name, or a number"
            ) from None
        return Person(_number(user), _NO_GROUP, is_me=False)
    groups = frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
    is_root = entry.pw_uid == 0
    return Person(entry.pw_uid, entry.pw_gid, groups, groups, is_root, is_root, entry.pw_name, is_me=False)


def _number(user: str) -> int:
    number = int(user) if len(user) <= len(str(_LARGEST_UID)) else _LARGEST_UID + 1
    if number > _LARGEST_UID:
        raise AddressError(f"{quote(user)} is no number that a user can have: the largest is {_LARGEST_UID}")
    return number


def _capabilities() -> int:
    """Root's where they cannot be read: without /proc nothing else tells."""
    try:
        with open("/proc/self/status", "rb", buffering=0) as file:
            found = _EFFECTIVE.search(file.read())
    except OSError:
        found = None
    if found is None:
        return _DAC_OVERRIDE | _DAC_READ_SEARCH if os.geteuid() == 0 else 0
    return int(found[1], 16)


def _listed(uid: int) -> frozenset[int]:
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except (KeyError, OSError):
        return frozenset()
    return frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
