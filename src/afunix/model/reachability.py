"""Why can't I connect? Facts about an address become findings, in the order in which connect(2) runs into them. Pure.

    1  the name         too-long                                                     AddressError
    2  each directory   missing-parent not-a-directory link-loop dangling-link       NoSuchSocketError
                        denied-search denied-link denied-otherwise                   DeniedError
    3  the file         missing (near-miss removed other-mount-namespace read-only)  NoSuchSocketError
                        is-a-directory not-a-socket                                  NotASocketError
                        denied-write denied-otherwise                                DeniedError
    4  the socket       stale descriptor not-listening                                          NobodyListensError
                        wrong-type                                                   WrongTypeError
                        has-its-peer                                                 DeniedError
                        backlog-full                                                 TimedOutError
    5  it answers       live live-unseen answered; stopped queue-full unread long-path
       untold           unseen                                                       AfunixError

An abstract name has no way and no file: nobody-there is `missing` with NobodyListensError, as the kernel says
ECONNREFUSED of it. The sentences of a refusal are `model.refusal`'s, which `connect` uses too; whose rights decide is
`model.permission`'s. The facts are of one moment and `connect` comes at another: then the two may differ. Steps 4 and 5
are `model.answering`, what else bears the name `model.elsewhere`. `tools.gathering` gathers.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from .address import MAX_NAME_BYTES, AddressKind
from .answering import foremost, of_the_answer, of_the_bound, of_the_socket
from .elsewhere import in_another_network, of_the_mount, of_the_neighbours, of_those_elsewhere
from .errors import AddressError, AfunixError, DeniedError, NotASocketError, errno_name
from .escaping import quote
from .finding_words import MAX_NAMED, altered, counted, denied_otherwise, refused, waiting_for
from .findings import Code, Finding, Report, Severity
from .ownership import FileKind
from .permission import Access
from .permission_words import denied
from .shell_words import path_word, shell_line
from .surroundings import Component, Facts

__all__ = ["Code", "Facts", "Finding", "Report", "Severity", "judge"]


def judge(facts: Facts) -> tuple[Finding, ...]:
    """What the facts mean: problems first, in their order; never empty. Without a problem the first says who is there."""
    found = list(_findings(facts))
    order = (Severity.PROBLEM, Severity.WARNING, Severity.FACT)
    if all(finding.severity is not Severity.PROBLEM for finding in found):
        order = (Severity.PROBLEM, Severity.FACT, Severity.WARNING)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _findings(facts: Facts) -> Iterator[Finding]:
    if facts.name_error is not None:
        what, hint = facts.name_error
        yield Finding(
            Code.TOO_LONG,
            Severity.PROBLEM,
            what,
            hint=hint,
            error=AddressError,
            errno=errno.ENAMETOOLONG,
        )
        return
    found = list(
        _of_the_abstract(facts) if facts.address.kind is AddressKind.ABSTRACT else _of_the_path(facts)
    )
    if facts.answer is not None:
        found = [*of_the_answer(facts, found), *found]
    yield from found


def _of_the_path(facts: Facts) -> Iterator[Finding]:
    is_denied = False
    for finding in _of_the_directories(facts):
        is_denied = True
        yield finding
    last = facts.last
    if last is None:
        yield _unseen(facts, facts.address.name)
    elif last.error:
        yield from _where_it_ends(facts, last, is_denied=is_denied)
    elif not last.is_final:
        yield refused(facts, Code.NOT_A_DIRECTORY, errno.ENOTDIR, obstructed=last.path, found=last)
    else:
        yield from _of_the_file(facts, last)
    yield from _of_the_length(facts)


def _of_the_directories(facts: Facts) -> Iterator[Finding]:
    """The directories that may not be searched, each once, and the links that may not be followed."""
    told: set[bytes] = set()
    for at, step in enumerate(facts.way):
        is_passed = at + 1 < len(facts.way)
        if step.path in told or not is_passed or step.rights is None:
            continue
        told.add(step.path)
        if step.kind is FileKind.SYMLINK:
            yield from _of_the_link(facts, step, facts.way[:at])
        elif step.kind is FileKind.DIRECTORY:
            yield from denied(facts, step, Access.SEARCH)


def _of_the_link(facts: Facts, link: Component, before: tuple[Component, ...]) -> Iterator[Finding]:
    """fs.protected_symlinks: in a sticky directory that all may write to, only a link of one's own, or of the
    directory's owner, is followed (proc_sys_fs(5)). The kernel asks that of the last link only.
    """
    directory = next((s.rights for s in reversed(before) if s.kind is FileKind.DIRECTORY), None)
    if not facts.protects_links or directory is None or link.rights is None or not link.is_final:
        return
    if directory.mode & 0o1002 == 0o1002 and link.rights.uid not in (facts.person.uid, directory.uid):
        yield Finding(
            Code.DENIED_LINK,
            Severity.PROBLEM,
            f"the symbolic link {quote(link.path)} may not be followed (EACCES)",
            why="it stands in a sticky directory that everybody may write to, and belongs to somebody else"
            " (fs.protected_symlinks)",
            hint="name what it leads to",
            command=shell_line("afunix", "connect") + " " + path_word(_target_of(link)),
            error=DeniedError,
            errno=errno.EACCES,
        )


def _target_of(link: Component) -> bytes:
    target = link.target or b""
    return target if target.startswith(b"/") else link.path.rpartition(b"/")[0] + b"/" + target


def _where_it_ends(facts: Facts, last: Component, *, is_denied: bool) -> Iterator[Finding]:
    if last.error == errno.ENOENT:
        yield from _of_what_is_missing(facts, last)
    elif last.error == errno.ELOOP:
        yield refused(facts, Code.LINK_LOOP, errno.ELOOP)
    elif last.error == errno.ENAMETOOLONG:
        yield refused(facts, Code.TOO_LONG, errno.ENAMETOOLONG)
    elif last.error != errno.EACCES:
        yield refused(facts, Code.REFUSED, last.error)
    elif facts.person.is_me and not is_denied:
        yield denied_otherwise(f"{quote(last.path)} may not be looked at")
    elif not is_denied:
        yield _unseen(facts, last.path)


def _of_what_is_missing(facts: Facts, last: Component) -> Iterator[Finding]:
    if last.behind is not None:
        yield _dangling(facts, last)
    elif last.is_final:
        yield _missing(facts, why=None)
    else:
        yield refused(facts, Code.MISSING_PARENT, errno.ENOENT, obstructed=last.path)
    yield from of_those_elsewhere(facts)
    yield from of_the_neighbours(facts)
    yield from of_the_mount(facts)


def _missing(facts: Facts, *, why: str | None) -> Finding:
    finding = refused(facts, Code.MISSING, _number_of_missing(facts))
    return altered(finding, why=why, hint="start its server; this waits for it", command=waiting_for(facts))


def _number_of_missing(facts: Facts) -> int:
    return errno.ECONNREFUSED if facts.address.kind is AddressKind.ABSTRACT else errno.ENOENT


def _dangling(facts: Facts, last: Component) -> Finding:
    link = next(step for step in facts.way if step.path == last.behind)
    shown = quote(facts.address.format())
    is_itself = link.path == facts.address.name
    what = f"{shown} is" if is_itself else f"{shown} does not exist: {quote(link.path)} is"
    return altered(
        refused(facts, Code.DANGLING_LINK, errno.ENOENT),
        what=f"{what} a symbolic link to {quote(link.target or b'')}, which does not exist (ENOENT)",
        why=f"there is no {quote(last.path)}",
        hint="start the server that makes it, or let the link lead to it; this waits for it",
        command=waiting_for(facts),
    )


def _of_the_file(facts: Facts, file: Component) -> Iterator[Finding]:
    refusals = list(denied(facts, file, Access.WRITE))
    if file.kind is not FileKind.SOCKET:
        yield _not_a_socket(facts, file, _number_of_no_socket(facts, is_denied=bool(refusals)))
        return
    yield from refusals
    yield from of_the_socket(facts, file)


_BEFORE_PERMISSION = {
    errno.EROFS: "its file system is read-only, and of a file there, unlike of a socket, the kernel says that first",
    errno.EPERM: "it is immutable (chattr +i), which the kernel says before it looks what kind of file it is",
}
"""What inode_permission (fs/namei.c) refuses to everybody, root included."""


def _number_of_no_socket(facts: Facts, *, is_denied: bool) -> int:
    if facts.probe in _BEFORE_PERMISSION:
        return facts.probe
    return errno.EACCES if is_denied else errno.ECONNREFUSED


def _not_a_socket(facts: Facts, file: Component, number: int) -> Finding:
    shown = quote(facts.address.format())
    what = f"{shown} is {file.kind.value}, and a socket was expected ({errno_name(number)})"
    error: type[AfunixError] = DeniedError if number == errno.EACCES else NotASocketError
    before = _BEFORE_PERMISSION.get(number)
    if file.kind is not FileKind.DIRECTORY:
        return Finding(
            Code.NOT_A_SOCKET, Severity.PROBLEM, what, before, None, "check the path", error, number
        )
    why, hint, command = _of_the_directory(file)
    why = "; ".join(filter(None, (why, before))) or None
    return Finding(
        Code.IS_A_DIRECTORY, Severity.PROBLEM, what, why, None if before else command, hint, error, number
    )


def _of_the_directory(file: Component) -> tuple[str | None, str, str | None]:
    """Why, hint and command: a container engine makes a directory of a socket that it does not find."""
    trap = (
        "a container engine makes an empty directory where the source of a bind mount (-v) does not exist yet"
    )
    if file.is_mount_point:
        hint = (
            "on the host: remove the container, 'rmdir' the directory, start the server, make the container again;"
            " or mount the directory that the socket is in"
        )
        return f"it is mounted there: {trap}", hint, None
    if file.is_empty:
        return f"it is empty: {trap}", "remove it, then start the server", f"rmdir {path_word(file.path)}"
    return None, "check the path: the socket's own name may be missing at its end", None


def _of_the_abstract(facts: Facts) -> Iterator[Finding]:
    best = foremost(facts)
    if best is not None:
        yield from of_the_bound(facts, best)
        return
    why = None
    if facts.unseen_processes:
        unseen = counted(facts.unseen_processes)
        why = (
            f"{unseen} may not be looked into even by root, and may have it in another network namespace"
            if facts.looks_as_root
            else f"{unseen} may not be looked into: only root sees whether one of them has it, in another network"
            " namespace"
        )
    yield _missing(facts, why=why)
    for other in facts.other_networks[:MAX_NAMED]:
        yield in_another_network(facts, other)
    yield from of_the_neighbours(facts)


def _unseen(facts: Facts, where: bytes) -> Finding:
    return Finding(
        Code.UNSEEN,
        Severity.WARNING,
        f"what is at {quote(where)} is not yours to see, so nothing can be said of it (EACCES)",
        hint="ask as root",
    )


def _of_the_length(facts: Facts) -> Iterator[Finding]:
    path = facts.address.name
    if len(path) > MAX_NAME_BYTES:
        directory, _, base = path.rpartition(b"/")
        yield Finding(
            Code.LONG_PATH,
            Severity.WARNING,
            f"the path is {len(path)} bytes long, and most programs can use {MAX_NAME_BYTES}; afunix reaches it",
            hint=f"for others: go to its directory, and say {quote(b'./' + base)}",
            command=f"cd {path_word(directory or b'/')}",
        )
