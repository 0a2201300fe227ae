"""`afunix check --json`: the report as one ASCII object on one line. Pure.

{"address": "/run/app.sock", "kind": "pathname", "reachable": false, "status": 4, "verdict": "stale", "waited": null,
 "findings": [{"code": "stale", "severity": "problem", "what": "…", "why": "…", "hint": "…", "command": "rm …"}],
 "facts": {"person": {…}, "way": [{"path": "/run", "mode": "0755", …}], "sockets": […], …}}

`reachable` is null where it cannot be told. Bytes that no JSON string can hold, and what a terminal would obey, are
escaped, and then `…_base64` beside them has the bytes as they are. A fact that nobody found out is null.
"""

from __future__ import annotations

import base64
import json

from ..model.errors import errno_name
from ..model.escaping import escape
from ..model.findings import Finding, Report
from ..model.permission import AclEntry, Person, Rights
from ..model.socket_table import Owner
from ..model.surroundings import Answer, Bound, Component, Elsewhere, Facts

Object = dict[str, object]


def render(report: Report, status: int) -> str:
    """One line without its newline; `status` is what the command ends with."""
    address = report.facts.address
    found: Object = {
        **_named("address", address.format(), address.name),
        "kind": address.kind.value,
        "reachable": report.is_reachable if report.is_certain else None,
        "status": status,
        "verdict": report.verdict.code.value,
        "waited": report.waited,
        "findings": [_finding(finding) for finding in report.findings],
        "facts": _facts(report.facts),
    }
    return json.dumps(found)


def _finding(finding: Finding) -> Object:
    return {
        "code": finding.code.value,
        "severity": finding.severity.value,
        "what": finding.what,
        "why": finding.why,
        "hint": finding.hint,
        "command": finding.command,
        "errno": None if finding.errno is None else errno_name(finding.errno),
    }


def _facts(facts: Facts) -> Object:
    return {
        "person": _person(facts.person),
        "type": facts.wanted_type,
        "way": [_step(step) for step in facts.way],
        "dgram_probe": _errno(facts.probe),
        "may_write": facts.may_write,
        "sockets": [_bound(bound) for bound in facts.bound],
        "sockets_beneath": [_bound(bound) for bound in facts.beneath],
        "table_complete": facts.is_complete,
        "other_mounts": [_elsewhere(other) for other in facts.other_mounts],
        "other_networks": [_elsewhere(other) for other in facts.other_networks],
        "removed": [_elsewhere(other) for other in facts.removed],
        "neighbours": [escape(one.format()) for one in facts.neighbours],
        "tapped": None if facts.tapped is None else escape(facts.tapped),
        "protected_symlinks": facts.protects_links,
        "unseen_processes": facts.unseen_processes,
        "answer": _answer(facts.answer),
    }


def _person(person: Person) -> Object:
    return {
        "uid": person.uid,
        "user": None if person.name is None else escape(person.name),
        "gid": None if person.gid < 0 else person.gid,
        "groups": sorted(person.groups),
        "listed_groups": sorted(person.listed_groups),
        "may_override": person.may_override,
        "may_search": person.may_search,
        "is_me": person.is_me,
    }


def _step(step: Component) -> Object:
    found: Object = {
        **_named("path", step.path, step.path),
        "kind": step.kind.value.partition(" ")[2] or None,
        **_rights(step.rights),
        "target": None,
        "errno": _errno(step.error) if step.error else None,
        "inode": None if step.identity is None else step.identity.inode,
        "device": None if step.identity is None else step.identity.device,
        "mount": None,
        "mount_point": step.is_mount_point,
        "empty": step.is_empty,
    }
    if step.target is not None:
        found.update(_named("target", step.target, step.target))
    if step.mount is not None:
        found["mount"] = {
            "point": escape(step.mount.point),
            "file_system": escape(step.mount.file_system),
            "read_only": step.mount.is_read_only,
        }
    return found


def _rights(rights: Rights | None) -> Object:
    if rights is None:
        return {"mode": None, "uid": None, "gid": None, "acl": None}
    acl = None if rights.acl is None else [_acl_entry(entry) for entry in rights.acl]
    return {"mode": f"{rights.mode:04o}", "uid": rights.uid, "gid": rights.gid, "acl": acl}


def _acl_entry(entry: AclEntry) -> Object:
    return {"tag": entry.tag.name.lower().replace("_", "-"), "bits": entry.bits, "id": entry.id}


def _bound(bound: Bound) -> Object:
    entry = bound.entry
    return {
        "inode": entry.inode,
        "type": entry.type,
        "state": entry.state.value,
        "queued": entry.queued,
        "backlog": entry.backlog,
        "unread": entry.unread,
        "queue_full": bound.is_full,
        "uid": entry.uid,
        "shutdown": None if entry.shutdown is None else entry.shutdown.name.lower(),
        "processes": [{**_owner(o), "stopped": o.pid in bound.stopped} for o in bound.owners],
        "clients": [_owner(owner) for owner in bound.clients],
    }


def _owner(owner: Owner) -> Object:
    comm = None if owner.comm is None else escape(owner.comm)
    return {"pid": owner.pid, "fd": owner.fd, "comm": comm, "uid": owner.uid}


def _elsewhere(other: Elsewhere) -> Object:
    return {
        "process": None if other.owner is None else _owner(other.owner),
        "type": other.type,
        "state": None if other.state is None else other.state.value,
        "way": None if other.way is None else escape(other.way),
        "through_pid": other.through,
    }


def _answer(answer: Answer | None) -> Object | None:
    if answer is None:
        return None
    return {
        "errno": _errno(answer.errno),
        "type": answer.type,
        "seconds": round(answer.seconds, 6),
        "pid": answer.pid,
        "uid": answer.uid,
        "gid": answer.gid,
        "comm": None if answer.comm is None else escape(answer.comm),
        "queue_full": answer.is_full,
    }


def _errno(number: int | None) -> str | None:
    """`connected` for 0, null for what was not asked."""
    if number is None:
        return None
    return errno_name(number) if number else "connected"


def _named(key: str, written: str | bytes, name: bytes) -> Object:
    """What is shown under `key`; where escaping changed it, the bytes too."""
    shown = escape(written)
    if shown.encode() == (
        written if isinstance(written, bytes) else written.encode("utf-8", "surrogateescape")
    ):
        return {key: shown}
    return {key: shown, f"{key}_base64": base64.b64encode(name).decode("ascii")}
