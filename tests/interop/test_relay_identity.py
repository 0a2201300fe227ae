"""`--as-client`: who asks is who the client is, to PostgreSQL's peer authentication and to whoever else asks the kernel."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.faults.users import IS_ROOT
from tests.peers import require
from tests.program import PATIENCE_S
from tests.relaying import relaying

from afunix.kernel.peercred import peer_credentials, peer_groups

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root can connect as its clients")

OWNER, OTHER = (pwd.getpwuid(uid) for uid in (65534, 1))
"""Two users that every system has: nobody, whose PostgreSQL it is, and daemon."""


@pytest.fixture
def open_dir(sock_dir: str) -> str:
    os.chmod(sock_dir, 0o755)
    return sock_dir


def become(user: pwd.struct_passwd, *groups: int) -> list[str]:
    listed = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
    return [require("setpriv"), "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), *listed]


def run(argv: list[str], user: pwd.struct_passwd, *groups: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*become(user, *groups), *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )


def test_each_client_is_itself_to_the_server(open_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{open_dir}/s")
        os.chmod(f"{open_dir}/s", 0o666)
        server.listen()
        server.settimeout(PATIENCE_S)
        with relaying(f"{open_dir}/r", f"{open_dir}/s", as_client=True) as relay:
            os.chmod(f"{open_dir}/r", 0o666)
            for user in (OWNER, OTHER, OWNER):
                run(
                    [require("socat"), "-u", "OPEN:/dev/null", f"UNIX-CONNECT:{open_dir}/r"],
                    user,
                    65500,
                    65501,
                )
                with server.accept()[0] as accepted:
                    peer = peer_credentials(accepted)
                    assert (peer.pid, peer.uid, peer.gid) == (relay.pid, user.pw_uid, user.pw_gid)
                    assert sorted(peer_groups(accepted)) == [65500, 65501]


def test_a_client_gets_no_further_than_by_itself(open_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{open_dir}/s")
        os.chown(f"{open_dir}/s", OWNER.pw_uid, -1)
        os.chmod(f"{open_dir}/s", 0o600)
        server.listen()
        server.settimeout(PATIENCE_S)
        with relaying(f"{open_dir}/r", f"{open_dir}/s", as_client=True) as relay:
            os.chmod(f"{open_dir}/r", 0o666)
            run([require("socat"), "-u", "OPEN:/dev/null", f"UNIX-CONNECT:{open_dir}/r"], OTHER)
            run([require("socat"), "-u", "OPEN:/dev/null", f"UNIX-CONNECT:{open_dir}/r"], OWNER)
            with server.accept()[0] as accepted:
                assert peer_credentials(accepted).uid == OWNER.pw_uid
            assert f"you are uid {OTHER.pw_uid} ({OTHER.pw_name})" in relay.stop()


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL that asks the kernel who its clients are: where its socket is."""

    directory: str

    def ask(self, directory: str, user: pwd.struct_passwd, role: str) -> subprocess.CompletedProcess[str]:
        """`user` comes as `role`, and asks who it is."""
        words = "select session_user || ' ' || pg_catalog.pg_backend_pid()::bool"
        return run([require("psql"), "-h", directory, "-U", role, "-d", "postgres", "-XAtc", words], user)


@pytest.fixture
def postgres(open_dir: str) -> Iterator[Cluster]:
    directory = f"{open_dir}/pg"
    os.mkdir(directory)
    os.chown(directory, OWNER.pw_uid, OWNER.pw_gid)
    made = run(
        [
            require("initdb"),
            "-D",
            f"{directory}/data",
            "-A",
            "peer",
            "-U",
            OWNER.pw_name,
            "--no-sync",
            "--locale=C",
        ],
        OWNER,
    )
    assert made.returncode == 0, made.stderr
    settings = ("-F", "-k", directory, "-c", "listen_addresses=", "-c", "shared_buffers=16MB")
    process = subprocess.Popen(
        [*become(OWNER), require("postgres"), "-D", f"{directory}/data", *settings],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
    )
    try:
        assert process.stderr is not None
        while b"ready to accept connections" not in (line := process.stderr.readline()):
            assert line, "PostgreSQL did not start"
        made = run(
            [require("psql"), "-h", directory, "-d", "postgres", "-Xc", f"create role {OTHER.pw_name} login"],
            OWNER,
        )
        assert made.returncode == 0, made.stderr
        yield Cluster(directory)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def test_postgresql_knows_its_peers_through_a_relay(open_dir: str, postgres: Cluster) -> None:
    there = f"{postgres.directory}/.s.PGSQL.5432"
    with relaying(f"{open_dir}/.s.PGSQL.5432", there, as_client=True):
        os.chmod(f"{open_dir}/.s.PGSQL.5432", 0o666)
        for user in (OWNER, OTHER):
            asked = postgres.ask(open_dir, user, user.pw_name)
            assert asked.stdout == f"{user.pw_name} true\n", asked.stderr
        liar = postgres.ask(open_dir, OTHER, OWNER.pw_name)
        assert f'Peer authentication failed for user "{OWNER.pw_name}"' in liar.stderr


def test_without_it_postgresql_sees_the_relay_s_user(open_dir: str, postgres: Cluster) -> None:
    with relaying(f"{open_dir}/.s.PGSQL.5432", f"{postgres.directory}/.s.PGSQL.5432"):
        os.chmod(f"{open_dir}/.s.PGSQL.5432", 0o666)
        asked = postgres.ask(open_dir, OWNER, OWNER.pw_name)
        assert "Peer authentication failed" in asked.stderr
