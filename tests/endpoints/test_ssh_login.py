"""A login as the user's OpenSSH would make it: which keys, which known hosts, and what is asked of the far side."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
from tests.peers import require
from tests.program import PATIENCE_S
from tests.servers import echo, serving
from tests.sshd import Sshd, public, serving_ssh

from afunix.model.address import Address
from afunix.model.errors import DeniedError, PeerMismatchError
from afunix.model.ssh_refusal import Seen

pytest.importorskip("asyncssh")
from afunix.endpoints.ssh_login import Login

T = TypeVar("T")


@pytest.fixture
def sshd(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    with serving_ssh(sock_dir) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


def ask(sshd: Sshd, question: Callable[[Login], Awaitable[T]], written: str = "") -> T:
    async def run() -> T:
        login = Login(Address.parse(written or f"ssh:far:{sshd.folder}/s"))
        try:
            return await question(login)
        finally:
            await login.close()

    return asyncio.run(run())


def log_in(sshd: Sshd) -> None:
    ask(sshd, Login.connection)


def test_all_who_ask_at_once_share_one_login(sshd: Sshd) -> None:
    async def ask_twice(login: Login) -> bool:
        one, other = await asyncio.gather(login.connection(), login.connection())
        return one is other

    assert ask(sshd, ask_twice)


def test_key_file_that_the_configuration_names_is_used(sshd: Sshd) -> None:
    os.rename(f"{sshd.home}/.ssh/id_ed25519", f"{sshd.home}/.ssh/mine")
    sshd.write("config", sshd.read("config") + "  IdentityFile ~/.ssh/none\n  IdentityFile ~/.ssh/mine\n")
    log_in(sshd)


def test_locked_key_is_named(sshd: Sshd) -> None:
    key = f"{sshd.home}/.ssh/id_ed25519"
    subprocess.run(
        [require("ssh-keygen"), "-q", "-p", "-N", "secret", "-f", key],
        check=True,
        timeout=PATIENCE_S,
        stdout=-3,
    )
    with pytest.raises(DeniedError, match="is locked by a passphrase"):
        log_in(sshd)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_key_that_cannot_be_read_is_named(sshd: Sshd) -> None:
    os.chmod(f"{sshd.home}/.ssh/id_ed25519", 0)
    with pytest.raises(DeniedError, match="cannot be used: permission denied"):
        log_in(sshd)


def test_host_is_known_by_its_alias(sshd: Sshd) -> None:
    known = sshd.read("known_hosts")
    sshd.write("known_hosts", f"[nick]:{sshd.port} {known.partition(' ')[2]}")
    sshd.write("config", sshd.read("config") + "  HostKeyAlias nick\n")
    log_in(sshd)


def test_known_hosts_may_have_bad_lines_and_be_elsewhere(sshd: Sshd) -> None:
    sshd.write("others", "@nonsense a b\n" + sshd.read("known_hosts"))
    sshd.write("known_hosts", "")
    sshd.write("config", sshd.read("config") + "  UserKnownHostsFile ~/.ssh/others\n")
    log_in(sshd)


def test_no_known_hosts_file_means_no_host_is_known(sshd: Sshd) -> None:
    sshd.write("known_hosts", "")
    sshd.write("config", sshd.read("config") + "  UserKnownHostsFile none\n  StrictHostKeyChecking no\n")
    with pytest.raises(PeerMismatchError, match="is not known"):
        log_in(sshd)


def test_revoked_host_key_is_refused(sshd: Sshd) -> None:
    sshd.write("known_hosts", f"@revoked * {public(f'{sshd.folder}/host')}")
    with pytest.raises(PeerMismatchError, match="IS REVOKED"):
        log_in(sshd)


def test_look_tells_what_is_at_a_path(sshd: Sshd) -> None:
    def look() -> Seen:
        return ask(sshd, Login.look)

    assert look() is Seen.NOTHING
    with serving(f"{sshd.folder}/s", echo):
        assert look() is Seen.LIVE
    assert look() is Seen.STALE
    os.remove(f"{sshd.folder}/s")
    os.mkdir(f"{sshd.folder}/s")
    assert look() is Seen.OTHER
    assert ask(sshd, Login.look, f"ssh:far:{sshd.folder}/no/s") is Seen.NO_DIRECTORY


def test_only_the_same_file_is_removed(sshd: Sshd) -> None:
    path = f"{sshd.folder}/s"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path)
    identity = ask(sshd, Login.identify)
    assert identity
    os.rename(path, f"{path}2")
    with open(path, "w"):
        pass
    assert not ask(sshd, lambda login: login.remove(identity))
    os.rename(f"{path}2", path)
    assert ask(sshd, lambda login: login.remove(identity))
    assert not os.path.exists(path)


def test_login_that_may_run_nothing_still_connects(sshd: Sshd) -> None:
    with open(f"{sshd.folder}/authorized", "r+", encoding="ascii") as file:
        key = file.read()
        file.seek(0)
        file.write(f'command="false" {key}')
    assert ask(sshd, Login.look) is Seen.UNKNOWN
