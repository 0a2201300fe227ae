"""The other programs that tests talk to: socat, nc, curl, Redis, PostgreSQL …

`require("socat")` is the path of the program. Where it is absent the test is skipped with the name of its
Debian package; with AFUNIX_REQUIRE_PEERS=1, as `.ci/run` sets it, it fails: nothing is skipped unseen there.
Several names for one program are tried in order, so that `nc` is OpenBSD's wherever that one is installed.
"""

from __future__ import annotations

import glob
import os
import shutil
from dataclasses import dataclass

import pytest


@dataclass(frozen=True, slots=True)
class Peer:
    """A program: the Debian package that has it, and where else to look than under its own name."""

    package: str
    names: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


_POSTGRESQL = "/usr/lib/postgresql/*/bin/"  # Debian keeps the server's programs of each version off the PATH

PEERS = {
    "bash": Peer("bash"),
    "cc": Peer("gcc"),
    "chromium": Peer("chromium"),
    "curl": Peer("curl"),
    "dash": Peer("dash"),
    "dbus-daemon": Peer("dbus-daemon"),
    "fish": Peer("fish"),
    "flock": Peer("util-linux"),
    "gcc": Peer("gcc"),
    "initdb": Peer("postgresql", patterns=(_POSTGRESQL + "initdb",)),
    "ip": Peer("iproute2"),
    "jq": Peer("jq"),
    "lsof": Peer("lsof"),
    "man": Peer("man-db"),
    "mount": Peer("mount"),
    "nc": Peer("netcat-openbsd", names=("nc.openbsd", "nc")),
    "ncat": Peer("ncat"),
    "nsenter": Peer("util-linux"),
    "nginx": Peer("nginx-light", names=("nginx", "/usr/sbin/nginx")),
    "pgbench": Peer("postgresql", patterns=(_POSTGRESQL + "pgbench",)),
    "postgres": Peer("postgresql", patterns=(_POSTGRESQL + "postgres",)),
    "psql": Peer("postgresql"),
    "python3": Peer("python3"),
    "redis-benchmark": Peer("redis-server"),
    "redis-cli": Peer("redis-server"),
    "redis-server": Peer("redis-server"),
    "s6-connlimit": Peer("s6"),
    "s6-ipcclient": Peer("s6"),
    "s6-ipcserver": Peer("s6"),
    "s6-ipcserver-access": Peer("s6"),
    "s6-sudo": Peer("s6"),
    "s6-sudod": Peer("s6"),
    "script": Peer("bsdutils"),
    "setfacl": Peer("acl"),
    "setpriv": Peer("util-linux"),
    "setsid": Peer("util-linux"),
    "socat": Peer("socat"),
    "ss": Peer("iproute2"),
    "ssh": Peer("openssh-client"),
    "ssh-agent": Peer("openssh-client"),
    "ssh-add": Peer("openssh-client"),
    "ssh-keygen": Peer("openssh-client"),
    "sshd": Peer("openssh-server", names=("sshd", "/usr/sbin/sshd")),
    "strace": Peer("strace"),
    "systemd-analyze": Peer("systemd"),
    "systemd-notify": Peer("systemd"),
    "systemd-socket-activate": Peer("systemd"),
    "tmux": Peer("tmux"),
    "tshark": Peer("tshark"),
    "ucspilogd": Peer("s6"),
    "unixcat": Peer("ucspi-unix"),
    "unixclient": Peer("ucspi-unix"),
    "unixserver": Peer("ucspi-unix"),
    "unshare": Peer("util-linux"),
    "zsh": Peer("zsh"),
}


def find(name: str) -> str | None:
    """The path of the program `name`, or None where it is not installed."""
    peer = PEERS[name]
    for candidate in peer.names or (name,):
        found = shutil.which(candidate)
        if found is not None:
            return found
    matches = sorted(match for pattern in peer.patterns for match in glob.glob(pattern))
    return matches[-1] if matches else None


def require(name: str) -> str:
    """The path of the program `name`; without it the test is skipped, or fails where all are required."""
    path = find(name)
    if path is not None:
        return path
    missing = f"{name} is not installed (Debian: apt install {PEERS[name].package})"
    if os.environ.get("AFUNIX_REQUIRE_PEERS") == "1":
        pytest.fail(f"{missing}, and AFUNIX_REQUIRE_PEERS=1 asks for every peer", pytrace=False)
    pytest.skip(missing, allow_module_level=True)
