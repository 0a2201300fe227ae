"""Sockets in other namespaces: what bears the name there is found, and the command that leads to it is run."""

from __future__ import annotations

import os
import socket

import pytest
from tests.checking import Holder, agrees, codes, finding, paste, report
from tests.faults.users import IS_ROOT, ME, User
from tests.peers import require

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="making namespaces needs root")


def test_abstract_name_in_another_network_namespace_is_entered_by_the_command(sock_dir: str) -> None:
    name = f"@{os.path.basename(sock_dir)}"
    with Holder(name, prefix=[require("unshare"), "-n"]) as server:
        found = agrees(ME, name)
        assert (found["status"], codes(found)) == (4, ["missing", "other-network-namespace"])
        there = finding(found, "other-network-namespace")
        assert f"pid {server.pid} " in there["what"]
        assert paste(ME, there["command"]).status == 0


def test_who_may_not_look_into_others_is_told_so(ordinary: User, sock_dir: str) -> None:
    name = f"@{os.path.basename(sock_dir)}"
    with Holder(name, prefix=[require("unshare"), "-n"]):
        found = agrees(ordinary, name)
        assert (found["status"], codes(found)) == (4, ["missing"])
        assert "processes may not be looked into: only root sees" in found["findings"][0]["why"]


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
def test_path_leads_to_a_server_in_another_network_namespace(user: User, open_place: str, kind: str) -> None:
    path = f"{open_place}/s"
    backlog = -1 if kind == "dgram" else 16
    with Holder(path, kind=kind, backlog=backlog, prefix=[require("unshare"), "-n"]) as server:
        found = agrees(user, path)
        assert (found["status"], codes(found)) == (0, ["live-unseen"])
        if user is ME:
            assert f"pid {server.pid} " in found["findings"][0]["what"]
            assert f"({kind})" in found["findings"][0]["what"]


def test_command_for_a_server_that_is_not_seen_connects_to_it(ordinary: User, open_place: str) -> None:
    with Holder(f"{open_place}/s", prefix=[require("unshare"), "-n"]):
        command = report(ordinary, f"{open_place}/s")["findings"][0]["command"]
        end = paste(ordinary, command)
        assert end.status == 0
        assert b"answered a real connect by uid 0 (root)" in end.out


def test_socket_that_does_not_listen_in_another_network_namespace_is_not_reachable(open_place: str) -> None:
    with Holder(f"{open_place}/s", backlog=-1, prefix=[require("unshare"), "-n"]):
        found = agrees(ME, f"{open_place}/s")
        assert (found["status"], codes(found)) == (4, ["not-listening"])


def test_full_backlog_in_another_network_namespace_is_found_by_a_probe(open_place: str) -> None:
    path = f"{open_place}/s"
    with (
        Holder(path, backlog=0, prefix=[require("unshare"), "-n"]) as server,
        socket.socket(socket.AF_UNIX) as client,
    ):
        server.stop()
        client.connect(path)
        assert codes(report(ME, path)) == ["live-unseen"]
        found = report(ME, "--probe", path)
        assert (found["status"], found["verdict"]) == (7, "backlog-full")


def test_path_in_another_mount_namespace_is_reached_by_the_command(sock_dir: str) -> None:
    path = f"{sock_dir}/private/s"
    os.mkdir(f"{sock_dir}/private")
    mounted = f'mount -t tmpfs none "{sock_dir}/private" && exec "$@"'
    with Holder(path, prefix=[require("unshare"), "-m", "/bin/sh", "-c", mounted, "sh"]) as server:
        found = agrees(ME, path)
        assert (found["status"], codes(found)) == (3, ["missing", "other-mount-namespace"])
        there = finding(found, "other-mount-namespace")
        assert f"pid {server.pid} " in there["what"]
        assert paste(ME, there["command"]).status == 0
