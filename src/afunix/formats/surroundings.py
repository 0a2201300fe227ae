"""What `check` looked at, as lines: the way to a path as `namei -l` shows it, and with -v every other fact. Pure.

    drwxr-xr-x  root root  /
    drwx------  root root  /srv       may not be searched
    srw-rw----+ root app   /srv/sock

What stands in the way is said behind its step, by the rule of `model.permission`. Everything is escaped here.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator

from ..model.errors import errno_name
from ..model.escaping import escape, quote
from ..model.ownership import FileKind
from ..model.permission import Access, AclEntry, AclTag, KnownNames, Person, Rights, decide
from ..model.refusal import describe_user
from ..model.socket_table import Owner
from ..model.surroundings import Bound, Component, Elsewhere, Facts

Line = list[tuple[str, str]]
"""As in `formats.findings`."""

_TYPES = {
    FileKind.SOCKET: stat.S_IFSOCK,
    FileKind.REGULAR: stat.S_IFREG,
    FileKind.DIRECTORY: stat.S_IFDIR,
    FileKind.SYMLINK: stat.S_IFLNK,
    FileKind.FIFO: stat.S_IFIFO,
    FileKind.CHARACTER_DEVICE: stat.S_IFCHR,
    FileKind.BLOCK_DEVICE: stat.S_IFBLK,
}

_MEANINGS = {
    "CONNECTED": "a dgram socket takes datagrams from anybody",
    "ECONNREFUSED": "no process has it open",
    "EPROTOTYPE": "a process has it open as stream or seqpacket",
    "EPERM": "a dgram socket that has its peer, or an immutable file",
    "EROFS": "a file on a read-only file system",
    "EAGAIN": "a dgram socket whose queue is full",
    "EACCES": "asking needs write permission",
}
"""What the answer to a datagram socket's connect means, as in `model.ownership`."""

_MOST_SHOWN = 20
"""Of neighbours and processes; a directory may hold thousands."""


def looked_at(facts: Facts, *, verbose: bool) -> list[Line]:
    """The way, and what is remarkable about each step; with `verbose` all there is."""
    lines = _the_way(facts, verbose=verbose)
    if verbose:
        lines += [[(text, "")] for text in _everything(facts)]
    return lines


# The way


def _the_way(facts: Facts, *, verbose: bool) -> list[Line]:
    steps = _each_once(facts.way)
    rows = [_row(facts.known, step) for _, step in steps]
    widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
    lines: list[Line] = []
    for (is_passed, step), (mode, owner, group, shown) in zip(steps, rows, strict=True):
        front = f"{mode:{widths[0]}} {owner:{widths[1]}} {group:{widths[2]}}  "
        problem = _problem(facts, step, is_passed=is_passed)
        remark = "; ".join(_remarks(step, verbose=verbose))
        line = [(front, "label"), (shown, "problem" if problem else "")]
        if problem:
            line.append((f"  {problem}", "bad"))
        if remark:
            line.append((f"  ({remark})", "label"))
        lines.append(line)
        if verbose and step.rights is not None and step.rights.acl is not None:
            lines.append([(f"  access control list: {_show_acl(facts.known, step.rights.acl)}", "label")])
    return lines


def _each_once(way: tuple[Component, ...]) -> list[tuple[bool, Component]]:
    """Each step with whether another one follows it. After a link its start is on the way again: told once."""
    told: set[tuple[bytes, FileKind, int]] = set()
    steps = []
    for at, step in enumerate(way):
        key = (step.path, step.kind, step.error)
        if key not in told:
            told.add(key)
            steps.append((at + 1 < len(way), step))
    return steps


def _row(known: KnownNames, step: Component) -> tuple[str, str, str, str]:
    shown = escape(step.path)
    if step.rights is None:
        return "-", "-", "-", shown
    if step.target is not None:
        shown += f" -> {escape(step.target)}"
    rights = step.rights
    return (_mode(step.kind, rights), _user(known, rights.uid), _group(known, rights.gid), shown)


def _mode(kind: FileKind, rights: Rights) -> str:
    return stat.filemode(_TYPES.get(kind, 0) | rights.mode) + ("+" if rights.acl is not None else "")


def _problem(facts: Facts, step: Component, *, is_passed: bool) -> str:
    if step.error:
        return errno_name(step.error)
    if step.kind is FileKind.SYMLINK:
        return ""
    if is_passed:
        return _refusal(facts.person, step, Access.SEARCH, "may not be searched")
    if step.kind is FileKind.SOCKET and step.is_final:
        return _refusal(facts.person, step, Access.WRITE, "may not be connected to")
    return f"is {step.kind.value}"


def _refusal(person: Person, step: Component, access: Access, words: str) -> str:
    is_refused = step.rights is not None and not decide(person, step.rights, access).allowed
    return words if is_refused else ""


def _remarks(step: Component, *, verbose: bool) -> Iterator[str]:
    if step.is_empty:
        yield "empty"
    if step.mount is not None and (step.is_mount_point or verbose):
        read_only = ", read-only" if step.mount.is_read_only else ""
        where = "mounted here" if step.is_mount_point else f"on {quote(step.mount.point)}"
        yield f"{where}{read_only}" + (f", {escape(step.mount.file_system)}" if verbose else "")
    if verbose and step.identity is not None:
        yield f"inode {step.identity.inode}"


def _show_acl(known: KnownNames, acl: Iterable[AclEntry]) -> str:
    return ",".join(_show_entry(known, entry) for entry in acl)


def _show_entry(known: KnownNames, entry: AclEntry) -> str:
    """As getfacl(1): `user:ana:rw-`."""
    bits = stat.filemode(stat.S_IFREG | entry.bits << 6)[1:4]
    words = {
        AclTag.OWNER: "user:",
        AclTag.USER: f"user:{_user(known, entry.id)}",
        AclTag.GROUP: "group:",
        AclTag.NAMED_GROUP: f"group:{_group(known, entry.id)}",
        AclTag.MASK: "mask:",
        AclTag.OTHER: "other:",
    }
    return f"{words[entry.tag]}:{bits}"


# Everything else


def _everything(facts: Facts) -> Iterator[str]:
    yield _the_person(facts)
    if facts.wanted_type is not None:
        yield f"type asked for: {facts.wanted_type}"
    if facts.probe is not None:
        word = errno_name(facts.probe) if facts.probe else "CONNECTED"
        yield f"a dgram socket's connect: {word}" + (f" ({_MEANINGS[word]})" if word in _MEANINGS else "")
    for bound in facts.bound:
        yield from _the_socket(facts, bound)
    for bound in facts.beneath:
        yield f"bound to the file beneath the overlay, as {quote(bound.entry.address.format())}:"
        yield from _the_socket(facts, bound)
    if not facts.is_complete:
        yield "the kernel's table by sock_diag(7): refused; /proc/net/unix has no queues and no files"
    yield from _those_elsewhere("in another mount namespace", facts.other_mounts)
    yield from _those_elsewhere("in another network namespace", facts.other_networks)
    yield from _those_elsewhere("bound there, its file is gone", facts.removed)
    if facts.neighbours:
        yield f"beside it: {_some([quote(one.format()) for one in facts.neighbours])}"
    if facts.unseen_processes:
        yield f"processes that may not be looked into: {facts.unseen_processes}"
    if any(step.kind is FileKind.SYMLINK for step in facts.way):
        yield f"fs.protected_symlinks: {int(facts.protects_links)}"
    if facts.answer is not None:
        word = errno_name(facts.answer.errno) if facts.answer.errno else "CONNECTED"
        yield f"a real connect ({facts.answer.type}): {word} after {facts.answer.seconds * 1000:.1f} ms"


def _the_person(facts: Facts) -> str:
    person = facts.person
    who = "you are" if person.is_me else "asked for"
    group = "without a group" if person.gid < 0 else f"group {_group(facts.known, person.gid)}"
    others = sorted(person.groups - {person.gid})
    also = f", also in {_some([_group(facts.known, gid) for gid in others])}" if others else ""
    listed = sorted(person.listed_groups - person.all_groups)
    missing = (
        f", by the database also in {_some([_group(facts.known, gid) for gid in listed])}" if listed else ""
    )
    capable = (
        ", with CAP_DAC_OVERRIDE"
        if person.may_override
        else ", with CAP_DAC_READ_SEARCH"
        if person.may_search
        else ""
    )
    return f"{who} {describe_user(person.uid, person.name)}, {group}{also}{missing}{capable}"


def _the_socket(facts: Facts, bound: Bound) -> Iterator[str]:
    entry = bound.entry
    parts = [f"socket inode {entry.inode}: {entry.type}, {entry.state.value}"]
    if entry.queued is not None:
        parts.append(f"{entry.queued} in a backlog of {entry.backlog}")
    if entry.unread:
        parts.append(f"{entry.unread} bytes unread" + (", its queue full" if bound.is_full else ""))
    if entry.uid is not None:
        parts.append(f"made by {describe_user(entry.uid, facts.known.users.get(entry.uid))}")
    yield ", ".join(parts)
    stopped = bound.stopped
    if bound.owners:
        yield f"  open in {_some([_process(owner, stopped) for owner in bound.owners])}"
    if bound.clients:
        yield f"  waiting: {_some([_process(owner, frozenset()) for owner in bound.clients])}"


def _process(owner: Owner, stopped: frozenset[int]) -> str:
    return f"{owner.describe()} descriptor {owner.fd}" + (", stopped" if owner.pid in stopped else "")


def _those_elsewhere(where: str, others: tuple[Elsewhere, ...]) -> Iterator[str]:
    for other in others[:_MOST_SHOWN]:
        who = other.owner.describe() if other.owner is not None else "a process that is not seen"
        way = f", from here {quote(other.way)}" if other.way is not None else ""
        state = f" ({', '.join(filter(None, (other.type, other.state and other.state.value)))})"
        yield f"{where}: {who}{way}{state if state != ' ()' else ''}"


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - _MOST_SHOWN} more" if len(texts) > _MOST_SHOWN else ""
    return ", ".join(texts[:_MOST_SHOWN]) + more


def _user(known: KnownNames, uid: int | None) -> str:
    name = known.users.get(uid) if uid is not None else None
    return escape(name) if name is not None else str(uid)


def _group(known: KnownNames, gid: int | None) -> str:
    name = known.groups.get(gid) if gid is not None else None
    return escape(name) if name is not None else str(gid)
