"""The facts about an address, gathered from everywhere: what `model.reachability` judges for `tools.check`.

    kernel.person     who wants to connect          kernel.approach    the way to a path, step by step
    kernel.sighting   does a process hold it         kernel.socket_table, .owners   which, and how it stands
    kernel.namespaces who bears the name where we do not look

No server notices: nothing is asked but lstat, the kernel's tables and a datagram socket's connect, unless `probe`
wants a real one. What vanishes while it is looked at is left out.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable
from dataclasses import replace

from ..kernel import dial, names, namespaces, person
from ..kernel.approach import Approach, approach, held
from ..kernel.owners import Owners, find_owners, leads_to, seen_from_here
from ..kernel.pathname import kernel_name
from ..kernel.peercred import peer_credentials
from ..kernel.processes import is_stopped
from ..kernel.sighting import probe as probe_datagram
from ..kernel.socket_table import Table, read_table
from ..model.address import Address, AddressKind
from ..model.errors import AddressError
from ..model.escaping import quote
from ..model.ownership import FileKind
from ..model.permission import AclTag, KnownNames
from ..model.reachability import judge
from ..model.socket_table import FileIdentity, Owner, SocketEntry, TableState
from ..model.surroundings import Answer, Bound, Component, Elsewhere, Facts

_TRIED_IN_TURN = ("stream", "seqpacket", "dgram")


def gather(
    address: Address,
    *,
    as_user: str | None = None,
    wanted_type: str | None = None,
    probe: bool = False,
    thorough: bool = True,
) -> Facts:
    """The facts about `address`. Without `thorough` no names, processes and namespaces are looked for: enough to judge.

    Raises:
        AddressError: as `check`.
    """
    if not address.is_unix:
        raise AddressError(
            f"{quote(str(address))} is no name that can be checked: expected a path or @name",
            hint="a socket that was inherited is connected, or it is not",
        )
    who = person.own_person() if as_user is None else person.person_called(as_user)
    facts = Facts(address, who, wanted_type, name_error=_name_error(address))
    if facts.name_error is not None:
        return facts
    look = _look_at_abstract if address.kind is AddressKind.ABSTRACT else _look_at_path
    facts = look(facts, thorough=thorough)
    if probe and who.is_me and not any(finding.errno for finding in judge(facts)):
        facts = replace(facts, answer=_answer(address, wanted_type))
    return replace(facts, known=_known(facts)) if thorough else facts


def _name_error(address: Address) -> tuple[str, str | None] | None:
    try:
        with kernel_name(address):
            return None
    except AddressError as error:
        return error.message, error.hint
    except OSError:
        return None  # the way to a long path, which is looked at soon


# A path


def _look_at_path(facts: Facts, *, thorough: bool) -> Facts:
    path = facts.address.name
    gone = approach(path)
    last = gone.way[-1]
    facts = replace(facts, way=gone.way, protects_links=_protects_links())
    if last.kind is FileKind.SOCKET and last.is_final:
        facts = _look_at_socket(facts, path, last, thorough=thorough)
    if thorough and (last.error == errno.ENOENT or facts.probe == errno.ECONNREFUSED):
        facts = _look_elsewhere(facts, gone)
    return facts


def _look_at_socket(facts: Facts, path: bytes, file: Component, *, thorough: bool) -> Facts:
    with held(path) as fd:
        if fd is None:
            return facts
        answer = probe_datagram(fd)
        seen = os.fstat(fd)
    may_write = os.access(path, os.W_OK, effective_ids=True) if facts.person.is_me else None
    facts = replace(facts, probe=answer, may_write=may_write)
    if answer == errno.ECONNREFUSED:
        return facts
    table = _table()
    entries = _bound_to(table, path, file.identity, seen)
    facts = replace(facts, bound=_bound(entries, table, thorough=thorough), is_complete=table.is_complete)
    if thorough and not entries:
        there = namespaces.other_namespaces()
        bearers = namespaces.bearers_of_path(facts.address, seen, there.networks)
        facts = replace(facts, other_networks=tuple(bearers), unseen_processes=there.unseen)
    return facts


def _bound_to(
    table: Table, path: bytes, identity: FileIdentity | None, file: os.stat_result
) -> list[SocketEntry]:
    """The sockets whose file it is: by device and inode, else (overlayfs has other devices) by inode and base name."""
    entries = table.sockets.values()
    exact = [entry for entry in entries if entry.file is not None and entry.file == identity]
    if exact:
        return _themselves(exact)
    base = os.path.basename(path)
    alike = [entry for entry in entries if os.path.basename(entry.address.name) == base]
    if table.is_complete:
        return _themselves(e for e in alike if e.file is not None and e.file.inode == file.st_ino)
    owners = find_owners({entry.inode for entry in alike})
    return _themselves(
        entry
        for entry in alike
        if entry.address.name == path
        or any(leads_to(owner.pid, entry.address.name, file) for owner in owners.of(entry.inode))
    )


def _themselves(entries: Iterable[SocketEntry]) -> list[SocketEntry]:
    """Those that were bound themselves: what a listener accepted bears its name, and its file, too."""
    found = list(entries)
    bound = [entry for entry in found if entry.type == "dgram" or entry.state is not TableState.CONNECTED]
    return bound or found


def _bound(entries: list[SocketEntry], table: Table, *, thorough: bool) -> tuple[Bound, ...]:
    if not thorough:
        return tuple(map(Bound, entries))
    waiting = {inode for entry in entries for inode in entry.waiting}
    owners = find_owners({entry.inode for entry in entries} | waiting) if entries else Owners()
    return tuple(_with_owners(entry, owners) for entry in entries)


def _with_owners(entry: SocketEntry, owners: Owners) -> Bound:
    holders = tuple(owners.of(entry.inode))
    clients = tuple(owner for inode in entry.waiting for owner in owners.of(inode)[:1])
    return Bound(entry, holders, clients, frozenset(owner.pid for owner in holders if is_stopped(owner.pid)))


def _look_elsewhere(facts: Facts, gone: Approach) -> Facts:
    """Where nothing is, or nobody listens: what else bears that name."""
    table = _table()
    spellings = _spellings(facts.address.name, facts.way[-1])
    there = namespaces.other_namespaces()
    mounts = namespaces.bearers_in_other_mounts(_absolute(facts.address.name), there.places)
    return replace(
        facts,
        neighbours=_neighbours(facts, gone, table),
        other_mounts=tuple(mounts),
        removed=_removed(table, spellings, facts.way[-1].identity),
        unseen_processes=there.unseen,
    )


def _spellings(path: bytes, last: Component) -> set[bytes]:
    absolute = _absolute(path)
    if not absolute.startswith(b"/"):
        return {path}
    real = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))
    return {path, absolute, real, _absolute(last.path)}


def _absolute(path: bytes) -> bytes:
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        return path  # the working directory was removed, and has no path any more


def _neighbours(facts: Facts, gone: Approach, table: Table) -> tuple[Address, ...]:
    directory = os.path.dirname(gone.way[-1].path)
    paths = (os.path.join(directory, name) for name in gone.sockets)
    alive = (path for path in paths if not _is_stale(path))
    spellings = {facts.address.name, facts.address.name.removeprefix(b"./").removeprefix(b"@")}
    abstract = (name for name in _abstract_names(table) if name.name in spellings)
    return (*map(Address.pathname, alive), *abstract)


def _is_stale(path: bytes) -> bool:
    with held(path) as fd:
        return fd is None or probe_datagram(fd) == errno.ECONNREFUSED


def _removed(table: Table, spellings: set[bytes], identity: FileIdentity | None) -> tuple[Elsewhere, ...]:
    """Sockets that were bound to the path, and that neither we nor their own process finds there any more."""
    entries = [
        entry
        for entry in table.sockets.values()
        if entry.address.kind is AddressKind.PATHNAME
        and entry.address.name.startswith(b"/")
        and entry.address.name in spellings
        and entry.state is not TableState.CONNECTED
        and (identity is None or entry.file != identity)
    ]
    owners = find_owners({entry.inode for entry in entries}) if entries else Owners()
    found = []
    for entry in entries:
        owner = next(iter(owners.of(entry.inode)), None)
        if owner is None or not _finds_it(owner, entry):
            found.append(Elsewhere(owner, entry.state, entry.type))
    return tuple(found)


def _finds_it(owner: Owner, entry: SocketEntry) -> bool:
    try:
        file = os.stat(seen_from_here(owner.pid, entry.address.name))
    except OSError:
        return False
    return stat.S_ISSOCK(file.st_mode) and entry.file is not None and file.st_ino == entry.file.inode


def _protects_links() -> bool:
    try:
        with open("/proc/sys/fs/protected_symlinks", "rb") as file:
            return file.read().strip() == b"1"
    except OSError:
        return False


# An abstract name


def _look_at_abstract(facts: Facts, *, thorough: bool) -> Facts:
    table = _table()
    entries = _themselves(entry for entry in table.sockets.values() if entry.address == facts.address)
    facts = replace(facts, bound=_bound(entries, table, thorough=thorough), is_complete=table.is_complete)
    if entries or not thorough:
        return facts
    there = namespaces.other_namespaces()
    return replace(
        facts,
        neighbours=(*_files_called(facts.address.name), *_abstract_names(table)),
        other_networks=tuple(namespaces.bearers_of_abstract(facts.address, there.networks)),
        unseen_processes=there.unseen,
    )


def _abstract_names(table: Table) -> list[Address]:
    return sorted(
        {
            entry.address
            for entry in table.sockets.values()
            if entry.address.kind is AddressKind.ABSTRACT
            and (entry.type == "dgram" or entry.state is TableState.LISTENING)
        },
        key=lambda address: address.name,
    )


def _files_called(name: bytes) -> list[Address]:
    """A socket file `name`, or `@name`: what an address without or with the sign may have meant."""
    if b"\0" in name:
        return []
    return [Address.pathname(path) for path in (name, b"./@" + name) if name and _is_socket(path)]


def _is_socket(path: bytes) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


# Both


def _table() -> Table:
    try:
        return read_table()
    except OSError:
        return Table({}, False)


def _answer(address: Address, wanted_type: str | None) -> Answer:
    """A real connect, closed at once."""
    answer = Answer(errno.EPROTOTYPE, wanted_type or "stream", 0.0)
    for word in (wanted_type,) if wanted_type is not None else _TRIED_IN_TURN:
        sock = dial.open_socket(word)
        try:
            began = time.monotonic()
            number = dial.try_connect(sock, address)
            answer = Answer(number, word, time.monotonic() - began)
            if number == 0 and word != "dgram":
                peer = peer_credentials(sock)
                comm = names.comm_of(peer.pid) if peer.pid else None
                answer = replace(answer, pid=peer.pid, uid=peer.uid, gid=peer.gid, comm=comm)
        finally:
            sock.close()
        if number != errno.EPROTOTYPE:
            break
    return answer


def _known(facts: Facts) -> KnownNames:
    """The names of all users and groups that the facts speak of."""
    rights = [step.rights for step in facts.way if step.rights is not None]
    entries = [entry for one in rights for entry in one.acl or ()]
    uids = {one.uid for one in rights} | {facts.person.uid}
    uids |= {entry.id for entry in entries if entry.tag is AclTag.USER and entry.id is not None}
    uids |= {bound.entry.uid for bound in facts.bound if bound.entry.uid is not None}
    if facts.answer is not None and facts.answer.uid is not None:
        uids.add(facts.answer.uid)
    gids = {one.gid for one in rights} | {*facts.person.groups, facts.person.gid}
    gids |= {entry.id for entry in entries if entry.tag is AclTag.NAMED_GROUP and entry.id is not None}
    return KnownNames(
        {uid: name for uid in uids if (name := names.user_name(uid)) is not None},
        {gid: name for gid in gids if (name := names.group_name(gid)) is not None},
    )
