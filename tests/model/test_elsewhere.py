"""What else bears the name: told after the problem that it explains."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from tests.reachable import (
    FILE,
    NGINX,
    ROOT,
    ROOT_STEP,
    RUN_STEP,
    ending,
    facts,
)

from afunix.model.address import Address
from afunix.model.reachability import Code, Facts, judge
from afunix.model.surroundings import Elsewhere, Mount


def test_what_is_elsewhere_is_told_after_what_is_missing() -> None:
    given = replace(
        ending(errno.ENOENT),
        neighbours=(Address.pathname("/run/ap.sock"),),
        removed=(Elsewhere(NGINX),),
        other_mounts=(Elsewhere(NGINX, way=b"/proc/412/root/run/app.sock"),),
    )
    found = judge(given)
    assert [one.code for one in found] == [
        Code.MISSING,
        Code.REMOVED,
        Code.OTHER_MOUNT_NAMESPACE,
        Code.NEAR_MISS,
    ]
    assert [one.command for one in found[2:]] == [
        "afunix connect /proc/412/root/run/app.sock",
        "afunix connect /run/ap.sock",
    ]


def test_a_read_only_mount_matters_only_where_a_server_would_make_its_socket() -> None:
    mount = Mount(b"/run", is_read_only=True)
    run = replace(RUN_STEP, mount=mount)
    live = facts(way=(ROOT_STEP, run, replace(FILE, mount=mount)))
    missing = replace(ending(errno.ENOENT), way=(ROOT_STEP, run, ending(errno.ENOENT).way[-1]))
    assert [found.code for found in judge(live)] == [Code.LIVE]
    assert [found.code for found in judge(missing)] == [Code.MISSING, Code.READ_ONLY]
    assert judge(missing)[1].command == "mount -o remount,rw /run"


@pytest.mark.parametrize("pid", [None, 412])
def test_another_network_namespace_is_entered_through_a_process(pid: int | None) -> None:
    given = Facts(Address.abstract("a b"), ROOT, other_networks=(Elsewhere(NGINX, through=pid),))
    found = judge(given)
    assert [one.code for one in found] == [Code.MISSING, Code.OTHER_NETWORK_NAMESPACE]
    assert found[1].command == (pid and "nsenter --net=/proc/412/ns/net afunix connect '@a b'")
