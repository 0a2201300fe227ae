"""Who may search a directory or connect to a socket file, and which rule decides. Pure; the kernel's own order.

    1. the owner: the first three bits, whatever else is allowed to others
    2. an access control list, if there is one and the group bits (then its mask) are not all zero:
       the entry for the user, masked; else the file's group and the entries for groups, of which one must give it,
       masked; else the last three bits
    3. without a list: a member of the file's group has the middle three bits, everybody else the last three
    4. what was refused so far: CAP_DAC_OVERRIDE gives it; CAP_DAC_READ_SEARCH lets a directory be searched

That is acl_permission_check, posix_acl_permission and generic_permission of the kernel (fs/namei.c, fs/posix_acl.c), in
words acl(5) and path_resolution(7). Connecting needs WRITE on the socket file and SEARCH on every directory on the
way (unix(7)); a read-only mount hinders neither. What is on the way is gathered by `kernel.approach`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum


class Access(Enum):
    """What is wanted of a file; the number is its bit in a mode."""

    SEARCH = 1
    WRITE = 2


class AclTag(Enum):
    """Whom an entry of an access control list is for; the numbers are the kernel's."""

    OWNER = 0x01
    USER = 0x02
    GROUP = 0x04
    NAMED_GROUP = 0x08
    MASK = 0x10
    OTHER = 0x20


@dataclass(frozen=True, slots=True)
class AclEntry:
    """One entry: `bits` as in a mode (4 read, 2 write, 1 search), `id` of the user or group it names."""

    tag: AclTag
    bits: int
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Rights:
    """What a file says of who may use it. `mode`: the low twelve bits. `acl` is None where there is none.

    `knows_uid` and `knows_gid`: that owner has a number in our user namespace. One that has none is shown as the
    overflow id, which is nobody's then, and no capability of ours counts (user_namespaces(7)).
    """

    mode: int
    uid: int
    gid: int
    acl: tuple[AclEntry, ...] | None = None
    knows_uid: bool = True
    knows_gid: bool = True
    is_directory: bool = False

    @property
    def is_mapped(self) -> bool:
        return self.knows_uid and self.knows_gid


@dataclass(frozen=True, slots=True)
class Person:
    """Who wants to connect, as the kernel sees them: effective ids and capabilities.

    `groups` are the supplementary ones; `listed_groups` those that the system's database gives to the user, which a
    process that was started before he became a member does not have. `is_me`: our own process, not somebody asked
    for by name.
    """

    uid: int
    gid: int
    groups: frozenset[int] = frozenset()
    listed_groups: frozenset[int] = frozenset()
    may_override: bool = False
    may_search: bool = False
    name: str | None = None
    is_me: bool = True

    @property
    def all_groups(self) -> frozenset[int]:
        return self.groups | {self.gid}


class Through(Enum):
    """The rule that decided, in the words of a finding."""

    OWNER = "as its owner"
    ACL_USER = "by the entry for that user in its access control list"
    GROUP = "through its group"
    ACL_GROUP = "by the entry for a group in its access control list"
    OTHER = "as anybody else"
    CAPABILITY = "by a capability"


@dataclass(frozen=True, slots=True)
class Decision:
    """May they, by which rule, and through which group; `masked`: an entry gave it, and the mask took it away."""

    allowed: bool
    through: Through
    group: int | None = None
    masked: bool = False


def decide(person: Person, rights: Rights, access: Access) -> Decision:
    """May `person` do that to the file; as fs/namei.c decides it."""
    decision = _by_the_file(person, rights, access.value)
    if decision.allowed or not rights.is_mapped:
        return decision
    searching = rights.is_directory and access is Access.SEARCH
    if person.may_override and (rights.is_directory or access is Access.WRITE):
        return Decision(True, Through.CAPABILITY)
    if person.may_search and searching:
        return Decision(True, Through.CAPABILITY)
    return decision


def groups_that_may(rights: Rights, access: Access) -> tuple[int, ...]:
    """The groups whose members get that from the file (unless they are its owner, or named themselves)."""
    if rights.acl is None or not rights.mode & 0o070:
        return (rights.gid,) if rights.mode >> 3 & access.value else ()
    mask = _mask(rights.acl)
    found = [
        rights.gid if entry.tag is AclTag.GROUP else entry.id
        for entry in rights.acl
        if entry.tag in _OF_GROUPS and entry.bits & mask & access.value
    ]
    return tuple(gid for gid in found if gid is not None)


_OF_GROUPS = (AclTag.GROUP, AclTag.NAMED_GROUP)


def _by_the_file(person: Person, rights: Rights, bit: int) -> Decision:
    if rights.knows_uid and person.uid == rights.uid:
        return Decision(bool(rights.mode >> 6 & bit), Through.OWNER)
    if rights.acl is not None and rights.mode & 0o070:
        return _by_the_list(person, rights, rights.acl, bit)
    if _is_member(person, rights):
        return Decision(bool(rights.mode >> 3 & bit), Through.GROUP, rights.gid)
    return Decision(bool(rights.mode & bit), Through.OTHER)


def _is_member(person: Person, rights: Rights) -> bool:
    return rights.knows_gid and rights.gid in person.all_groups


def _by_the_list(person: Person, rights: Rights, acl: tuple[AclEntry, ...], bit: int) -> Decision:
    mask = _mask(acl)
    for entry in acl:
        if entry.tag is AclTag.USER and entry.id == person.uid:
            return _masked(entry, mask, bit, Through.ACL_USER)
    members = [found for entry in acl for found in _membership(person, rights, entry)]
    for entry, through, gid in members:
        if entry.bits & bit:  # the first that gives it decides, also if the mask takes it away again
            return _masked(entry, mask, bit, through, gid)
    if members:
        _, through, gid = members[0]
        return Decision(False, through, gid)
    return Decision(any(e.tag is AclTag.OTHER and e.bits & bit for e in acl), Through.OTHER)


def _membership(
    person: Person, rights: Rights, entry: AclEntry
) -> Iterable[tuple[AclEntry, Through, int | None]]:
    if entry.tag is AclTag.GROUP and _is_member(person, rights):
        yield entry, Through.GROUP, rights.gid
    elif entry.tag is AclTag.NAMED_GROUP and entry.id in person.all_groups:
        yield entry, Through.ACL_GROUP, entry.id


def _mask(acl: tuple[AclEntry, ...]) -> int:
    """7 in a list without a mask: one that names nobody."""
    return next((entry.bits for entry in acl if entry.tag is AclTag.MASK), 7)


def _masked(entry: AclEntry, mask: int, bit: int, through: Through, gid: int | None = None) -> Decision:
    gives = bool(entry.bits & bit)
    return Decision(gives and bool(mask & bit), through, gid, masked=gives and not mask & bit)


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Names of the users and groups that the facts speak of; who has none is shown by number."""

    users: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
