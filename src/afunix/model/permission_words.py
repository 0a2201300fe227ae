"""A refusal of the file system in words: which file, for whom, which rule decided, and the command that mends it. Pure.

The rule is `model.permission`'s. Of the ways to mend it the narrowest is told: a group that has been given and only needs
a new login, membership in a group that may, an entry of an access control list for that user alone; to open a file to
everybody is never advised. What is done to a socket file lasts until its server makes it anew, and that is said.
"""

from __future__ import annotations

import errno
import re
import stat
from collections.abc import Iterator

from .errors import DeniedError
from .escaping import escape, quote
from .finding_words import denied_otherwise
from .findings import Code, Finding, Severity
from .permission import Access, Decision, Person, Rights, Through, decide, groups_that_may
from .refusal import describe_user
from .shell_words import address_word, path_word, shell_line, shell_word
from .surroundings import Component, Facts

_WORDS = {Access.SEARCH: "search", Access.WRITE: "write"}
_LETTERS = {Access.SEARCH: "x", Access.WRITE: "w"}
_CODES = {Access.SEARCH: Code.DENIED_SEARCH, Access.WRITE: Code.DENIED_WRITE}

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")
"""A user's or group's name that setfacl(1) and usermod(8) take as it is; any other is given by number."""


def denied(facts: Facts, step: Component, access: Access) -> Iterator[Finding]:
    """The finding for a file that `facts.person` may not search or write to; none if they may.

    For ourselves the kernel was asked, and its answer goes: it knows the owners that our user namespace has no number
    for, and the rules of a security module.
    """
    if step.rights is None:
        return
    decision = decide(facts.person, step.rights, access)
    answer = _answer_of_the_kernel(facts, step, access)
    if answer is False and decision.allowed:
        yield denied_otherwise(_needs(facts, step, access))
    if answer is True or decision.allowed:
        return
    hint, command = _mending(facts, step.path, step.rights, decision, access)
    yield Finding(
        _CODES[access],
        Severity.PROBLEM,
        _what(facts, step, step.rights, access),
        why=_why(facts, step.rights, decision, access),
        hint=hint,
        command=command,
        error=DeniedError,
        errno=errno.EACCES,
    )


def _answer_of_the_kernel(facts: Facts, step: Component, access: Access) -> bool | None:
    if not facts.person.is_me:
        return None
    return step.may_search if access is Access.SEARCH else facts.may_write


def _needs(facts: Facts, step: Component, access: Access) -> str:
    shown = quote(facts.address.format())
    if access is Access.SEARCH:
        return f"connecting to {shown} needs search permission on {quote(step.path)}"
    return f"connecting needs write permission on {shown}"


def _what(facts: Facts, step: Component, rights: Rights, access: Access) -> str:
    needs = _needs(facts, step, access)
    owner, group = _user(facts, rights.uid), _group(facts, rights.gid)
    acl = ", with an access control list" if rights.acl is not None else ""
    asked = "you are" if facts.person.is_me else "asked for"
    return f"{needs} (mode {rights.mode:04o}, owner {owner}, group {group}{acl}); {asked} {_person(facts)} (EACCES)"


def _why(facts: Facts, rights: Rights, decision: Decision, access: Access) -> str:
    return _REASONS[decision.through](facts, rights, decision, access)


def _as_owner(facts: Facts, rights: Rights, decision: Decision, access: Access) -> str:
    return (
        f"{_person(facts)} owns it, so that the owner's bits alone count ({_bits(rights, 6)}), and they lack"
        f" {_LETTERS[access]}"
    )


def _by_the_users_entry(facts: Facts, rights: Rights, decision: Decision, access: Access) -> str:
    return f"its access control list has an entry for {_person(facts)}, {_lacking(decision, access)}"


def _through_the_group(facts: Facts, rights: Rights, decision: Decision, access: Access) -> str:
    member = f"{_person(facts)} is in its group {_group(facts, rights.gid)}"
    if decision.masked:
        return f"{member}, {_lacking(decision, access)}"
    bits = "" if rights.acl is not None else f" ({_bits(rights, 3)})"
    return f"{member}, so that the group's bits count{bits} and not those of others, and they lack {_LETTERS[access]}"


def _by_a_groups_entry(facts: Facts, rights: Rights, decision: Decision, access: Access) -> str:
    group = "a group" if decision.group is None else f"the group {_group(facts, decision.group)}"
    return f"its access control list has an entry for {group} that {_person(facts)} is in, {_lacking(decision, access)}"


def _as_anybody(facts: Facts, rights: Rights, decision: Decision, access: Access) -> str:
    return (
        f"{_person(facts)} is neither its owner nor in its group {_group(facts, rights.gid)}, and the bits for others"
        f" ({_bits(rights, 0)}) lack {_LETTERS[access]}"
    )


_REASONS = {
    Through.OWNER: _as_owner,
    Through.ACL_USER: _by_the_users_entry,
    Through.GROUP: _through_the_group,
    Through.ACL_GROUP: _by_a_groups_entry,
    Through.OTHER: _as_anybody,
    Through.CAPABILITY: _as_anybody,
}


def _lacking(decision: Decision, access: Access) -> str:
    letter = _LETTERS[access]
    return (
        f"which has {letter}, but the list's mask takes it away"
        if decision.masked
        else f"which lacks {letter}"
    )


def _mending(
    facts: Facts, path: bytes, rights: Rights, decision: Decision, access: Access
) -> tuple[str, str | None]:
    """The hint and the command."""
    person, word = facts.person, path_word(path)
    if not rights.is_mapped:
        return "its owner is not known in this user namespace: mend it outside of it", None
    lasts = (
        ""
        if access is Access.SEARCH
        else "; until its server makes the socket anew: let that give it the mode"
    )
    if decision.through is Through.OWNER:
        return f"it is theirs to change{lasts}", f"chmod u+{_LETTERS[access]} {word}"
    if decision.through is not Through.ACL_USER:
        may = groups_that_may(rights, access)
        listed = [gid for gid in may if gid in person.listed_groups and gid in facts.known.groups]
        if listed and person.is_me:
            return _logging_in(facts, listed[0])
        joinable = [gid for gid in may if gid and _plain(facts.known.groups.get(gid)) and person.uid]
        if joinable and _plain(person.name):
            return _joining(facts, joinable[0], person)
    user = person.name if _plain(person.name) else str(person.uid)
    right = "--x" if access is Access.SEARCH else "rw-"
    return f"as root or its owner{lasts}", shell_line("setfacl", "-m", f"u:{user}:{right}") + f" {word}"


def _logging_in(facts: Facts, gid: int) -> tuple[str, str]:
    group = facts.known.groups[gid]
    inner = f"afunix connect {address_word(facts.address)}"
    return (
        f"{_person(facts)} is a member of {escape(group)} by now, but not this process, which is older than that: log in"
        " again, or start what connects with the group",
        f"sg {shell_word(group)} -c {shell_word(inner)}",
    )


def _joining(facts: Facts, gid: int, person: Person) -> tuple[str, str]:
    group = facts.known.groups[gid]
    return (
        f"as root; whoever is in {escape(group)} may do all that its members may; it counts from the next login on",
        shell_line("usermod", "-aG", group, person.name or ""),
    )


def _plain(name: str | None) -> bool:
    return name is not None and _PLAIN_NAME.fullmatch(name) is not None


def _bits(rights: Rights, shift: int) -> str:
    """`rw-`: one class of a mode, as `ls -l` shows it."""
    return stat.filemode(stat.S_IFREG | (rights.mode >> shift & 7) << 6)[1:4]


def _person(facts: Facts) -> str:
    return describe_user(facts.person.uid, facts.person.name)


def _user(facts: Facts, uid: int) -> str:
    name = facts.known.users.get(uid)
    return escape(name) if name is not None else f"uid {uid}"


def _group(facts: Facts, gid: int) -> str:
    name = facts.known.groups.get(gid)
    return escape(name) if name is not None else f"gid {gid}"
