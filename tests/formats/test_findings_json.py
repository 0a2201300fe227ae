"""The report for programs: one ASCII line, bytes kept, unknown facts null. Its whole shape is tested with the command."""

from __future__ import annotations

import base64
import errno
import json
import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.findings_json import render
from afunix.model.address import Address
from afunix.model.findings import Code, Finding, Report, Severity
from afunix.model.ownership import FileKind
from afunix.model.permission import AclEntry, AclTag, Person, Rights
from afunix.model.socket_table import Owner, SocketEntry, TableState
from afunix.model.surroundings import Answer, Bound, Component, Elsewhere, Facts, Mount

LIVE = Finding(Code.LIVE, Severity.FACT, "'/s' is live")
UNSEEN = Finding(Code.UNSEEN, Severity.WARNING, "cannot be told")


def rendered(finding: Finding = LIVE, name: str | bytes = "/s", **facts: Any) -> dict[str, Any]:
    line = render(Report(Facts(Address.pathname(name), Person(5, -1), **facts), (finding,)), 0)
    assert line.isascii()
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_reachable_is_null_where_it_cannot_be_told() -> None:
    problem = Finding(Code.STALE, Severity.PROBLEM, "stale", errno=errno.ECONNREFUSED)
    assert [rendered(one)["reachable"] for one in (LIVE, UNSEEN, problem)] == [True, None, False]
    assert rendered(problem)["findings"][0] == {
        "code": "stale",
        "severity": "problem",
        "what": "stale",
        "why": None,
        "hint": None,
        "command": None,
        "errno": "ECONNREFUSED",
    }


@given(st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name))
def test_every_name_can_be_had_back(name: bytes) -> None:
    path = b"/" + name
    step = Component(path, FileKind.SYMLINK, Rights(0o777, 0, 0), target=path)
    found = rendered(name=path, way=(step,))
    for key, where in (
        ("address", found),
        ("path", found["facts"]["way"][0]),
        ("target", found["facts"]["way"][0]),
    ):
        encoded = where.get(f"{key}_base64")
        assert (base64.b64decode(encoded) if encoded is not None else os.fsencode(where[key])) == path


def test_facts_have_words_instead_of_numbers() -> None:
    entry = SocketEntry(81, "dgram", TableState.CONNECTED, Address.pathname("/s"))
    acl = (AclEntry(AclTag.NAMED_GROUP, 4, 8),)
    facts = rendered(
        way=(
            Component(
                b"/s", FileKind.SOCKET, Rights(0o640, 1, 2, acl), mount=Mount(b"/", file_system="ext4")
            ),
        ),
        bound=(Bound(entry, (Owner(12, 3, "a\x1b"),), (), frozenset({12})),),
        probe=errno.EPERM,
        other_mounts=(Elsewhere(None, way=b"/proc/1/root/s", through=1),),
        answer=Answer(0, "stream", 0.25, comm="x"),
    )["facts"]
    step = facts["way"][0]
    assert (step["kind"], step["mode"], step["errno"]) == ("socket", "0640", None)
    assert step["acl"] == [{"tag": "named-group", "bits": 4, "id": 8}]
    assert step["mount"] == {"point": "/", "file_system": "ext4", "read_only": False}
    assert facts["dgram_probe"] == "EPERM"
    assert facts["sockets"][0]["processes"] == [
        {"pid": 12, "fd": 3, "comm": "a^[", "uid": None, "stopped": True}
    ]
    assert facts["other_mounts"][0]["way"] == "/proc/1/root/s"
    assert facts["answer"]["errno"] == "connected"
    assert facts["person"]["gid"] is None
