"""The facts about an address, gathered from everywhere: what `model.reachability` judges for `tools.check`.

    kernel.person      who wants to connect          kernel.approach   the way to a path, step by step
    tools.standing     which sockets bear the name, and how they stand
    tools.bearers      who else bears it, where nothing is or nobody listens
    tools.trial        a real connect, if one is wanted

No stream or seqpacket server notices. A datagram server is connected to only where the kernel's table does not have it
(it is in another network namespace, or sock_diag is refused), for which see `kernel.sighting.probe`. What vanishes
while it is looked at is left out.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace

from ..kernel import names, person
from ..kernel.approach import gone_to
from ..kernel.pathname import kernel_name
from ..kernel.sighting import probe as probe_datagram
from ..model.address import Address, AddressKind
from ..model.errors import AddressError
from ..model.escaping import quote
from ..model.ownership import FileKind
from ..model.permission import AclTag, KnownNames
from ..model.reachability import judge
from ..model.surroundings import Facts
from . import bearers, standing, trial

_REFUSED_TO_ALL = (errno.EROFS, errno.EPERM)
"""What connect(2) says of a file that is no socket before it asks who wants it: read-only, immutable."""


def gather(
    address: Address,
    *,
    as_user: str | None = None,
    wanted_type: str | None = None,
    probe: bool = False,
    thorough: bool = True,
    memory: standing.Memory | None = None,
) -> Facts:
    """The facts about `address`. Without `thorough` no names, processes and namespaces are looked for: enough to judge.

    `memory` is that of the looks before, for somebody who looks again and again.

    Raises:
        AddressError: as `check`.
    """
    if not address.is_unix:
        raise AddressError(
            f"{quote(str(address))} is no name that can be checked: expected a path or @name",
            hint="a socket that was inherited is connected, or it is not",
        )
    who = person.own_person() if as_user is None else person.person_called(as_user)
    facts = Facts(address, who, wanted_type, name_error=_name_error(address), looks_as_root=os.geteuid() == 0)
    if facts.name_error is not None:
        return facts
    memory = memory if memory is not None else standing.Memory()
    look = _look_at_abstract if address.kind is AddressKind.ABSTRACT else _look_at_path
    facts = look(facts, memory, thorough=thorough)
    if probe and who.is_me and not any(finding.errno for finding in judge(facts)):
        facts = replace(facts, answer=trial.connect_really(address, wanted_type))
    return replace(facts, known=_known(facts)) if thorough else facts


def _name_error(address: Address) -> tuple[str, str | None] | None:
    try:
        with kernel_name(address):
            return None
    except AddressError as error:
        return error.message, error.hint
    except OSError:
        return None  # the way to a long path, which is looked at soon


def _look_at_path(facts: Facts, memory: standing.Memory, *, thorough: bool) -> Facts:
    with gone_to(facts.address.name, beside=thorough) as gone:
        last = gone.way[-1]
        facts = replace(facts, way=gone.way, protects_links=_protects_links())
        if last.is_final and last.kind is FileKind.SOCKET:
            facts = standing.look_at_socket(facts, gone.fd, memory, thorough=thorough)
        elif last.is_final and last.kind in (FileKind.REGULAR, FileKind.DIRECTORY):
            answer = probe_datagram(gone.fd)
            facts = replace(facts, probe=answer if answer in _REFUSED_TO_ALL else None)
    if thorough and (last.error == errno.ENOENT or facts.probe == errno.ECONNREFUSED):
        facts = bearers.of_the_path(facts, gone.beside)
    return facts


def _protects_links() -> bool:
    try:
        with open("/proc/sys/fs/protected_symlinks", "rb") as file:
            return file.read().strip() == b"1"
    except OSError:
        return False


def _look_at_abstract(facts: Facts, memory: standing.Memory, *, thorough: bool) -> Facts:
    facts = standing.look_at_abstract(facts, memory, thorough=thorough)
    return bearers.of_the_abstract(facts) if thorough and not facts.bound else facts


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
