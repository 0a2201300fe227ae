"""An OpenSSH server on loopback for one test, with a home, keys and known hosts of its own: nobody's real ones are read.

`serving_ssh(folder)` starts it as the user of the tests, on a free port. `home` has an `.ssh` whose config calls it
`far`; `env` is for a process that is to use it.
"""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.peers import require
from tests.program import PATIENCE_S
from tests.tcp_servers import free_port

_SEPARATION = "/run/sshd"
"""Where sshd locks up the part of it that has no rights yet, when root starts it (Debian)."""


@dataclass
class Sshd:
    """`port` and `key`, a private key that it accepts; `log()` is what it wrote so far."""

    folder: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> str:
        return f"{self.folder}/home"

    @property
    def env(self) -> dict[str, str]:
        return {"HOME": self.home, "SSH_AUTH_SOCK": ""}

    def log(self) -> str:
        with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def write(self, name: str, text: str) -> None:
        """A file in `.ssh`, private."""
        path = f"{self.home}/.ssh/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)

    def read(self, name: str) -> str:
        with open(f"{self.home}/.ssh/{name}", encoding="utf-8") as file:
            return file.read()

    def start(self) -> None:
        with open(f"{self.folder}/log", "ab") as log:
            self.process = subprocess.Popen(
                [require("sshd"), "-D", "-e", "-f", f"{self.folder}/sshd_config"],
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), PATIENCE_S).close()
                return
            except OSError:
                os.sched_yield()
        raise AssertionError(f"sshd did not start: {self.log()}")

    def stop(self) -> None:
        """The server, and the logins that are there: they are processes of their own."""
        if self.process is not None:
            for pid in self.logins():
                kill(pid)
            self.process.kill()
            self.process.wait(PATIENCE_S)
            self.process = None

    def logins(self) -> list[int]:
        """The processes below it."""
        assert self.process is not None
        found, parents = [], [self.process.pid]
        while parents:
            parent = parents.pop()
            try:
                with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
                    children = [int(pid) for pid in file.read().split()]
            except OSError:
                continue
            found += children
            parents += children
        return found


def kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass  # it has ended by itself


def make_key(path: str, kind: str = "ed25519") -> None:
    subprocess.run(
        [require("ssh-keygen"), "-q", "-t", kind, "-N", "", "-C", "test", "-f", path],
        check=True,
        timeout=PATIENCE_S,
    )


def public(path: str) -> str:
    with open(f"{path}.pub", encoding="ascii") as file:
        return file.read()


@contextmanager
def serving_ssh(folder: str, options: str = "") -> Iterator[Sshd]:
    """`options` are lines of its sshd_config; they come first, so they count."""
    require("ssh")
    server = Sshd(folder, free_port())
    os.makedirs(f"{server.home}/.ssh", mode=0o700)
    if os.geteuid() == 0:
        os.makedirs(_SEPARATION, mode=0o755, exist_ok=True)
    make_key(f"{folder}/host")
    make_key(f"{server.home}/.ssh/id_ed25519")
    with open(f"{folder}/authorized", "w", encoding="ascii") as file:
        file.write(public(f"{server.home}/.ssh/id_ed25519"))
    with open(f"{folder}/sshd_config", "w", encoding="utf-8") as file:
        file.write(
            f"{options}\nListenAddress 127.0.0.1\nPort {server.port}\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\n"
        )
    server.write("known_hosts", f"[127.0.0.1]:{server.port} {public(f'{folder}/host')}")
    server.write(
        "config",
        f"Host far\n  Hostname 127.0.0.1\n  Port {server.port}\n  User {getpass.getuser()}\n",
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()
